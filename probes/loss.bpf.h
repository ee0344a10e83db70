// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Counting every event, and every loss by its reason.
 *
 * A probe calls see() once for an event that it will decide on, and count() once with the decision. Both go to the copy
 * of the current interval, so that user space, having switched to the other copy, reads numbers that agree to the last event.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "loss.h"

/* By processor. No per-processor map: user space writes the interval and the settings beside the counters, which only mapped memory allows.
 * User space makes it as large as there are numbers of processors. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 0);
	__type(key, __u32);
	__type(value, struct swtrace_tally);
} tallies SEC(".maps");

/* The interval an event belongs to. */
struct moment {
	struct swtrace_tally *tally;
	__u32 copy;
};

/* Adds to a remark or a decision. Atomic although the memory is this processor's own: from kernel 6.19 on a
 * tracepoint program can be preempted by another task that runs it. The number is never a constant 0: the compiler
 * would make that an atomic or, which kernel 5.10 does not know. */
static __always_inline int count_all(struct moment now, enum swtrace_counter counter, __u64 number)
{
	if (now.tally)
		__sync_fetch_and_add(&now.tally->counters[counter][now.copy & 1], number);
	return 0;
}

static __always_inline int count(struct moment now, enum swtrace_counter counter)
{
	return count_all(now, counter, 1);
}

static __always_inline struct swtrace_tally *tally_here(void)
{
	__u32 processor = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&tallies, &processor);
}

static __always_inline struct moment this_moment(void)
{
	struct moment now = { .tally = tally_here() };

	if (now.tally)
		now.copy = *(volatile __u64 *)&now.tally->interval & 1;
	return now;
}

static __always_inline struct moment see(void)
{
	struct moment now = this_moment();

	count(now, SWTRACE_SEEN);
	return now;
}

/* Adds a remark that belongs to no event, or to one that is decided later. */
static __always_inline int remark(enum swtrace_counter counter)
{
	return count(this_moment(), counter);
}
