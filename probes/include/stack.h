// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A stack and what it weighs; the event of all tools that sample stacks. */
#pragma once
#include "types.h"

/* The kernel's default limit, kernel.perf_event_max_stack. */
#define SWTRACE_STACK_DEPTH 127

struct swtrace_stack_config {
	__u8 kernel;                    /* walk the kernel's part of stacks */
	__u8 user;                      /* walk the user part */
	__u8 async;                     /* find those that await async functions */
	__u8 tasks;                     /* tell tasks of Swift apart */
	__u8 reserved[4];
};

enum swtrace_stack_kind {
	SWTRACE_STACK_WHOLE,
	SWTRACE_STACK_USER_FOLLOWS,     /* the user part comes with a later record of the thread */
	SWTRACE_STACK_USER_PART,        /* that record, for the thread's events since time_ns; no event of its own */
	/* Of a wait that has not ended. time_ns is when it began, value since when the thread is owed user parts, or 0. Instead of the user
	 * part there are the user instruction, the frame pointer, the stack pointer and r14, from which user space walks while the thread
	 * still waits. */
	SWTRACE_STACK_BLOCKED,
};
#define SWTRACE_BLOCKED_REGISTERS 4

/* What the partner of an event has to do with the task whose event it is. */
enum swtrace_relation {
	SWTRACE_NO_PARTNER,
	SWTRACE_PARTNER_WAS_WOKEN,      /* by the task; it has no frames here */
	SWTRACE_PARTNER_WOKE,           /* the task */
};

/* Followed by addresses of 64 bits: partner_kernel_frames, partner_user_frames, kernel_frames, user_frames, async_frames; each part innermost
 * first. The first address of each part is where the task was, the others are return addresses; those of awaiting functions are where they
 * will go on. Then, where it was not known how to go on from the last user frame, a struct swtrace_stack_rest. */
struct swtrace_stack_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 value;                    /* nanoseconds waited, or samples */
	__u32 pid, tid;
	__s32 kernel_frames;            /* negative: the error of bpf_get_stack */
	__s32 user_frames;
	__u8 kind;                      /* enum swtrace_stack_kind */
	__u8 is_in_kernel;              /* the kernel ran for the task when the user part was walked */
	__u8 relation;                  /* enum swtrace_relation */
	__u8 profiles;                  /* of a wait: those that it counts for, bits of enum offcputime_profile */
	__u32 swift_task;               /* the low half of its number; 0: none, or not asked for */
	__s32 partner_kernel_frames;    /* as those of the task */
	__s32 partner_user_frames;
	__u32 partner_pid;
	__u8 ending;                    /* enum swtrace_unwind_ending (unwind.h): why the user part ends there */
	__u8 async_at;                  /* the innermost user frame of an async function, for which the awaiting ones wait, or 0xff */
	__u8 async_frames;
	__u8 guessed;                   /* user frames whose caller was found by a frame pointer for lack of a rule */
	char comm[SWTRACE_COMM_LENGTH];
	char partner[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct swtrace_stack_event) == 88, "read by Sources/Tools/Session/StackAggregator.swift");

#define SWTRACE_REST_PAGES 4
/* Copies of stacks on each processor in 2^30 ns: more than a clock of 999 Hz asks for, and 18 MB at most. */
#define SWTRACE_COPIES_A_SECOND 1100

/* Where a walk has stopped, and the stack from there on. */
struct swtrace_stack_rest {
	__u64 ip, sp, bp, r14;
	__u64 memory;                   /* which address space it is of, as struct swtrace_unwind_process has it; 0: not known */
	__u32 is_leaf;                  /* ip is where the task was, not where it will return to */
	__u32 count;                    /* of the bytes that follow */
};
_Static_assert(sizeof(struct swtrace_stack_rest) == 48, "read by Sources/Tools/Session/StackAggregator.swift");
