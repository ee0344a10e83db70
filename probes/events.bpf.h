// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Events to user space through one ring buffer.
 *
 * The reader drains on a clock tick; it is woken earlier only when the ring fills up. A wake-up for each event
 * would cost more than the event.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "events.h"
#include "loss.bpf.h"

SEC(".rodata.events") const volatile struct swtrace_events_config events_config = { .wake_bytes = 1 << 18 };

/* 1 MiB: at 640,000 events of 80 bytes a second it fills in 20 ms; the reader is woken at a quarter. Resized before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* Wakes the reader when an event of that size carries the unread bytes across a multiple of wake_bytes, a power of two.
 * Not while they are above it: each wake-up is an interrupt to this very processor. Two processors that cross together
 * may miss it; the reader comes at its next tick anyway. */
static __always_inline __u64 wake_flag(__u64 size)
{
	__u64 unread = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);

	return (unread ^ (unread + size)) & ~(events_config.wake_bytes - 1) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

/* Room for an event of a fixed size; null after counting LOST_RING. */
static __always_inline void *reserve_event(struct moment now, __u64 size)
{
	void *event = bpf_ringbuf_reserve(&events, size, 0);

	if (!event)
		count(now, SWTRACE_LOST_RING);
	return event;
}

/* Hands over what reserve_event() gave. Counts DELIVERED. */
static __always_inline int submit_event(struct moment now, void *event, __u64 size)
{
	bpf_ringbuf_submit(event, wake_flag(size));
	return count(now, SWTRACE_DELIVERED);
}

/* Copies an event of a varying size. Counts DELIVERED or LOST_RING. */
static __always_inline int send_event(struct moment now, void *event, __u64 size)
{
	if (bpf_ringbuf_output(&events, event, size, wake_flag(size)))
		return count(now, SWTRACE_LOST_RING);
	return count(now, SWTRACE_DELIVERED);
}
