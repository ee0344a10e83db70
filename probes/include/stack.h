// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A stack and what it weighs; the event of all tools that sample stacks. */
#pragma once
#include "types.h"

/* The kernel's default limit, kernel.perf_event_max_stack. */
#define SWTRACE_STACK_DEPTH 127

struct swtrace_stack_config {
	__u8 kernel;                    /* walk the kernel's part of stacks */
	__u8 user;                      /* walk the user part */
	__u8 reserved[6];
};

enum swtrace_stack_kind {
	SWTRACE_STACK_WHOLE,
	SWTRACE_STACK_USER_FOLLOWS,     /* the user part comes with a later record of the thread */
	SWTRACE_STACK_USER_PART,        /* that record, for the thread's events since time_ns; no event of its own */
};

/* Followed by kernel_frames and then user_frames addresses of 64 bits, innermost first.
 * The first address of each part is where the task was; the others are return addresses. */
struct swtrace_stack_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 value;                    /* nanoseconds waited, or samples */
	__u32 pid, tid;
	__s32 kernel_frames;            /* negative: the error of bpf_get_stack */
	__s32 user_frames;
	__u32 kind;                     /* enum swtrace_stack_kind */
	__u32 reserved;
	char comm[SWTRACE_COMM_LENGTH];
	char partner[SWTRACE_COMM_LENGTH]; /* the name of the task that this one woke; else empty */
};
_Static_assert(sizeof(struct swtrace_stack_event) == 72, "read by Sources/Tools/Session/StackAggregator.swift");
