// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* System calls by number or by process. */
#pragma once
#include "types.h"

#define SYSCOUNT_NUMBERS 512            /* numbers below this have a cell for each processor */

struct syscount_config {
	__u32 error;                    /* -e: only calls that fail with this errno */
	__u8 failed_only;               /* -x */
	__u8 by_process;                /* -P */
	__u8 latency;                   /* -L: calls that begin and end while tracing */
	__u8 reserved;
};

struct syscount_cell {
	__u64 count;
	__u64 errors;
	__u64 total_ns;
	__u64 maximum_ns;
};

/* A process, or a system call without a cell for each processor. */
struct syscount_key {
	__u64 id;                       /* process id; or number, with SYSCOUNT_COMPAT */
	__u32 copy;                     /* of the interval, as in struct swtrace_tally */
	__u32 reserved;
};

/* Added to the number of a call by the 32-bit interface, whose numbers have another meaning. */
#define SYSCOUNT_COMPAT (1ULL << 32)

struct syscount_named_cell {
	struct syscount_cell cell;
	char comm[SWTRACE_COMM_LENGTH];
};

/* How many calls took how long: a slot of histogram.h, in nanoseconds. */
struct syscount_slot {
	__u64 id;
	__u32 slot;
	__u32 copy;
};
