// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The end of a process, or of a thread. */
#pragma once
#include "types.h"

struct exitsnoop_config {
	__u8 failed_only;               /* -x */
	__u8 threads;                   /* -T: an event for each thread instead of one for each process */
	__u8 reserved[6];
};

struct exitsnoop_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 age_ns;                   /* since the start, suspended time included */
	__u32 pid, tid, parent_pid, uid;
	__s32 status;                   /* as wait(2) has it: signal in the low 7 bits, 0x80 for a core dump, exit code above */
	__u32 reserved;
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct exitsnoop_event) == 56, "read by Sources/Tools/Process/Exitsnoop.swift");
