// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* What every probe counts; the one list that the kernel side and the loss report share. */
#pragma once
#include "types.h"

/* Each event takes exactly one way: seen = filtered + delivered + the sum of the lost ones.
 * An event is counted when its fate is decided: a wait that has not ended has not been seen yet. */
enum swtrace_counter {
	SWTRACE_SEEN,
	SWTRACE_FILTERED,               /* did not match what was asked for */
	SWTRACE_DELIVERED,              /* put into the ring buffer or added to a map */
	SWTRACE_LOST_RING,              /* the ring buffer was full */
	SWTRACE_LOST_MAP_FULL,          /* a map had no room for its key */
	SWTRACE_LOST_SCRATCH,           /* working memory was not to be had */
	SWTRACE_LOST_HIDDEN,            /* the kernel did not run the probe for its beginning or its end */
	/* Below: remarks about events that were counted above. */
	SWTRACE_TRUNCATED_TEXT,         /* a path, name or argument list was cut or could not be read */
	SWTRACE_MISSING_KERNEL_STACK,
	SWTRACE_MISSING_USER_STACK,
	SWTRACE_UNFOLLOWED,             /* children of the traced command that are not traced: too many at once */
	SWTRACE_UNRETURNED,             /* calls whose return was not seen: left by longjmp, or missed by the kernel */
	SWTRACE_UNFINISHED,             /* beginnings without an end: a request of a device that went away */
	SWTRACE_COUNTERS,
};

/* One per processor, of 256 bytes, so that none shares a line of the cache with another. */
struct swtrace_tally {
	/* Its lowest bit says which of the two copies the probes fill. Written by user space while they run. */
	__u64 interval;
	/* The tool's own, written in the same way. */
	__u64 settings[2];
	/* Of both copies. They only grow: user space subtracts what it has seen. */
	__u64 counters[SWTRACE_COUNTERS][2];
	__u64 reserved[29 - 2 * SWTRACE_COUNTERS];
};

/* A task's events that were hidden and that the probe has not noticed, as long as the next coming in its start's note is that one. */
struct swtrace_hidden {
	__u64 next;
	__u64 count;
	__u32 tid;
	__u32 reserved;
};
