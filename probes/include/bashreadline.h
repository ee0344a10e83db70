// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One line typed into a shell. */
#pragma once
#include "types.h"

enum { BASHREADLINE_CUT = 1 };          /* the end of the line is missing */

/* Followed by `length` bytes of the line; what comes before them was sent in pieces. */
struct bashreadline_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u32 pid, uid;
	__u32 length;
	__u32 flags;
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct bashreadline_event) == 40, "read by Sources/Tools/User/Bashreadline.swift");
