// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Time that tasks spend off the processors, by stack. */
#pragma once
#include "types.h"

/* What is measured; a wait can count for both. */
enum offcputime_profile {
	OFFCPUTIME_WAITS = 1,           /* all of at least the minimum */
	OFFCPUTIME_LOCKS = 2,           /* those in futex(2), of at least their own minimum: user space finds the locks among them by name */
};

struct offcputime_config {
	__u64 minimum_ns;
	__u64 maximum_ns;               /* 0: none */
	__u64 lock_minimum_ns;
	__u64 states;                   /* bits of the task states that count; 0: every blocked state */
	__u8 user_threads_only;
	__u8 kernel_threads_only;
	__u8 samples;                   /* only some waits are taken, and stand for the others (wait.bpf.h) */
	__u8 profiles;                  /* bits of enum offcputime_profile */
	__u8 reserved[4];
};
