// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One execve or execveat: the new program, or the error. */
#pragma once
#include "types.h"

enum {
	EXECSNOOP_INTERPRETED = 1,      /* a script: the arguments begin with its interpreter */
	EXECSNOOP_ARGUMENTS_CUT = 2,    /* arguments are missing at the end, or could not be read */
};

/* The text that follows has the path at 0 and the rest of the arguments at arguments_offset; what comes before the rest was sent in
 * pieces. Each argument ends with a zero. */
struct execsnoop_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u32 pid, parent_pid, uid;
	__s32 result;                   /* 0, or negative errno */
	__u32 path_length;              /* 0: the path could not be read */
	__u32 arguments_offset, arguments_length;
	__u32 pieces_length;            /* bytes of the arguments that were sent before */
	__u32 flags;
	__u32 cpu;
	char comm[SWTRACE_COMM_LENGTH];
	char parent_comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct execsnoop_event) == 80, "read by Sources/Tools/Process/Execsnoop.swift");
