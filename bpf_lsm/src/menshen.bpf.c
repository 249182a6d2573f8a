/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * All programs as one object, so that they share maps and settings. One concern a file; each begins with the table
 * of its hooks.
 */
#include "agent.bpf.c"
#include "exec.bpf.c"
#include "files.bpf.c"
#include "guard.bpf.c"
#include "inherit.bpf.c"
#include "mounts.bpf.c"
#include "network.bpf.c"
#include "revoke.bpf.c"
#include "special.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
