// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The ends of waits whose events are stacks. */
#pragma once
#include "stack.bpf.h"
#include "starts.bpf.h"

/* What a wait stands for; 0 when it is not taken.
 *
 * The settings are periods in ns. A wait of less than one is taken with a probability of its part of it, and then stands for a whole one:
 * the sums stay what they are, in the mean. The reader sets them as events come; 0 takes all. The second one is of those that a tool tells
 * apart, so that the others cannot crowd them out. */
static __always_inline __u64 weight_of_wait(struct moment now, __u64 waited, __u32 which)
{
	__u64 period = now.tally ? *(volatile __u64 *)&now.tally->settings[which & 1] : 0;

	if (waited >= period)
		return waited;
	/* A product of 64 bits at most, for periods below an hour. */
	return ((__u64)bpf_get_prandom_u32() * (period >> 10)) >> 22 < waited ? period : 0;
}

/* Ends the wait of a start; its length in ns. */
static __always_inline __u64 end_of_wait(struct start *start, __u64 time_ns)
{
	/* Clocks of two processors may disagree by some nanoseconds. */
	__u64 waited = (__s64)(time_ns - start->time_ns) < 0 ? 0 : time_ns - start->time_ns;

	start->time_ns = 0;
	return waited;
}

/* A maximum of 0 is none. */
static __always_inline bool is_between(__u64 waited, __u64 minimum_ns, __u64 maximum_ns)
{
	return waited >= minimum_ns && (!maximum_ns || waited <= maximum_ns);
}

/* Working memory for a wait that counts, with its length or, of a sample, with what it stands for; null after counting why there is none.
 * `which` is that of the setting with its period. */
static __always_inline struct stack_room *take_wait(struct moment now, __u64 time_ns, __u64 waited, bool samples, __u32 which)
{
	struct stack_room *room;

	if (samples) {
		waited = weight_of_wait(now, waited, which);
		if (!waited) {
			count(now, SWTRACE_FILTERED);
			return NULL;
		}
	}
	room = stack_room(now, 0);
	if (room) {
		room->event.time_ns = time_ns;
		room->event.value = waited;
	}
	return room;
}
