/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The smallest program: it ends. Cheap to hash, and no library is mapped. */
void _start(void)
{
	__asm__ volatile("xor %%edi, %%edi; mov $60, %%eax; syscall" ::: "edi", "eax");
}
