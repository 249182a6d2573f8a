/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The watch's programs as one object, apart from the gate's: it is loaded by the watch's own process, never decides
 * anything, and whatever happens to it changes nothing at the gate. One concern a file; each begins with the table of
 * its hooks.
 */
#include "process.bpf.c"
#include "calls.bpf.c"
#include "files.bpf.c"
#include "network.bpf.c"
#include "special.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
