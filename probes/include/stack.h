// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A stack and what it weighs; the event of all tools that sample stacks. */
#pragma once
#include "types.h"

/* The kernel's default limit, kernel.perf_event_max_stack. */
#define SWTRACE_STACK_DEPTH 127

/* Followed by kernel_frames and then user_frames addresses of 64 bits, innermost first.
 * The first address of a kernel stack, and of a user stack, is where the task was; the others are return addresses. */
struct swtrace_stack_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 value;                    /* nanoseconds waited, or samples */
	__u32 pid, tid;
	__s32 kernel_frames;            /* negative: the error of bpf_get_stack */
	__s32 user_frames;
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct swtrace_stack_event) == 48, "read by Sources/Tools/Session/StackEvent.swift");
