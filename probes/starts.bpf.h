// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* When something began for a thread; the entry stays while the thread lives and is written in place.
 *
 * One look-up instead of an insertion and a deletion for each wait. Whoever uses it calls forget_start() at the thread's last
 * switch-out, so that the entry cannot be taken for that of a later thread with the same id.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "loss.bpf.h"
#include "starts.h"

#define TASK_DEAD 0x80
#define TASK_WAKING 0x200
#define TASK_NEW 0x800

struct start {
	__u64 time_ns;                  /* 0: nothing has begun */
	__u64 note;                     /* the tool's own */
};

SEC(".rodata.starts") const volatile struct swtrace_starts_config starts_config = { .places = 16384 };

/* Whose entry a place is. Of 32 bytes, so that none is in two lines of the cache. */
struct start_place {
	__u64 tid;                      /* 0: nobody's */
	struct start start;
	__u64 reserved;
};

/* Where the entry of a thread is, unless another one's is there: threads of consecutive numbers are side by side. A look-up in a hash table
 * touches three pages that have left the caches since the last switch, and costs four times as much. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct start_place);
} start_places SEC(".maps");

/* By thread, the entries of those whose place is another one's; and by place, with a bit that no thread's number has, one for each that is
 * taken: making it decides who gets the place. 16384 threads are about 1.2 MB; a machine with more counts LOST_MAP_FULL. Tools may resize it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct start);
} starts SEC(".maps");

#define PLACE_TAKEN (1U << 31)

/* How many threads have an entry by number. */
__u64 displaced = 0;

static __always_inline __u32 place_number(__u32 tid)
{
	return tid & (starts_config.places - 1);
}

static __always_inline struct start_place *place_of(__u32 tid)
{
	__u32 at = place_number(tid);

	return bpf_map_lookup_elem(&start_places, &at);
}

/* The entry of a thread; null where there is none. */
static __always_inline struct start *find_start(__u32 tid)
{
	struct start_place *place = place_of(tid);

	if (place && place->tid == tid)
		return &place->start;
	return *(volatile __u64 *)&displaced ? bpf_map_lookup_elem(&starts, &tid) : NULL;
}

/* Makes an entry where find_start() has found none.
 *
 * Returns 0; -17 (EEXIST) when another processor has made one meanwhile; else, after counting SEEN and LOST_MAP_FULL, another error. */
static __always_inline int insert_start(__u32 tid, __u64 time_ns, __u64 note)
{
	struct start new = { .time_ns = time_ns, .note = note };
	__u32 taken = place_number(tid) | PLACE_TAKEN;
	struct start_place *place = place_of(tid);
	/* Before 6.4 only the lower half of what the helper returns has a meaning. */
	int error = bpf_map_update_elem(&starts, &taken, &new, BPF_NOEXIST);

	if (!error && place) {
		place->start = new;
		/* Whoever finds the number finds the rest. */
		barrier();
		place->tid = tid;
		return 0;
	}
	if (place && place->tid == tid)
		return -17;
	if (error == -17) {
		error = bpf_map_update_elem(&starts, &tid, &new, BPF_NOEXIST);
		if (!error)
			__sync_fetch_and_add(&displaced, 1);
	}
	if (error && error != -17)
		count(see(), SWTRACE_LOST_MAP_FULL);
	return error;
}

/* Notes that something begins. */
static __always_inline void set_start(__u32 tid, __u64 time_ns, __u64 note)
{
	struct start *start = find_start(tid);

	if (start) {
		start->time_ns = time_ns;
		start->note = note;
	} else
		insert_start(tid, time_ns, note);
}

static __always_inline void forget_start(__u32 tid)
{
	struct start_place *place = place_of(tid);

	if (place && place->tid == tid) {
		__u32 taken = place_number(tid) | PLACE_TAKEN;

		place->tid = 0;
		bpf_map_delete_elem(&starts, &taken);
	}
	if (*(volatile __u64 *)&displaced && !bpf_map_delete_elem(&starts, &tid))
		__sync_fetch_and_add(&displaced, -1);
}

/* The state of a task; the member was renamed in 5.14. */
static __always_inline long task_state(bool typed, struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return typed ? task->__state : BPF_CORE_READ(task, __state);
	return BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}
