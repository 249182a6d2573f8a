/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hole of the demo. Whoever reaches this endpoint makes the service's own process do any system call: it stands
 * for memory corruption, after which an intruder acts as the service, with its rights and its identity.
 *
 * The body is text, one thing a line:
 *
 *   buf HEX           the next slot holds these bytes
 *   out SIZE          the next slot is empty and is given back
 *   vec WORD...       the next slot is an array of words
 *   here              the calls that follow are done by this process, or:
 *   child             by a forked child, whose output is given back
 *   call NR WORD...   a system call
 *
 * A WORD is a number, bN (the address of slot N) or rN (what call N returned). The answer has a line
 * `call N RETURNED ERRNO` for each call, `out N HEX`, and for a child `said HEX`. A call that never came back because
 * a new program took the child's place is not in the answer.
 */
#ifndef PAYMENTS_DEBUG_H
#define PAYMENTS_DEBUG_H

#include <stddef.h>

/* Fills `reply`. Not 0: the body was not understood. */
int debug_calls(char *body, char *reply, size_t room);

#endif
