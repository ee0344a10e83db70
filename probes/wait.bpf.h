// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The ends of waits whose events are stacks. */
#pragma once
#include "stack.bpf.h"
#include "starts.bpf.h"

/* Ends the wait of a start: working memory with its length, in ns; null after counting why there is none. A maximum of 0 is none. */
static __always_inline struct stack_room *end_of_wait(struct moment now, struct start *start, __u64 time_ns, __u64 minimum_ns,
						      __u64 maximum_ns)
{
	/* Clocks of two processors may disagree by some nanoseconds. */
	__u64 waited = (__s64)(time_ns - start->time_ns) < 0 ? 0 : time_ns - start->time_ns;
	struct stack_room *room;

	start->time_ns = 0;
	if (waited < minimum_ns || (maximum_ns && waited > maximum_ns)) {
		count(now, SWTRACE_FILTERED);
		return NULL;
	}
	room = stack_room(now, 0);
	if (room) {
		room->event.time_ns = time_ns;
		room->event.value = waited;
	}
	return room;
}
