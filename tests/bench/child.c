/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The program that fork-exec executes: it ends at once. Built without a C library. */
void _start(void)
{
	__asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall");
}
