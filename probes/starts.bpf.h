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

#define TASK_DEAD 0x80
#define TASK_WAKING 0x200
#define TASK_NEW 0x800

struct start {
	__u64 time_ns;                  /* 0: nothing has begun */
	__u64 note;                     /* the tool's own */
};

/* 16384 threads are about 1.2 MB; a machine with more counts LOST_MAP_FULL. Tools may resize it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct start);
} starts SEC(".maps");

/* Makes an entry where there is none. Returns not 0 where there is no room, after counting SEEN and LOST_MAP_FULL. */
static __always_inline long insert_start(__u32 tid, __u64 time_ns, __u64 note)
{
	struct start new = { .time_ns = time_ns, .note = note };
	long error = bpf_map_update_elem(&starts, &tid, &new, BPF_ANY);

	if (error)
		count(see(), SWTRACE_LOST_MAP_FULL);
	return error;
}

/* Notes that something begins. */
static __always_inline void set_start(__u32 tid, __u64 time_ns, __u64 note)
{
	struct start *start = bpf_map_lookup_elem(&starts, &tid);

	if (start) {
		start->time_ns = time_ns;
		start->note = note;
	} else
		insert_start(tid, time_ns, note);
}

static __always_inline void forget_start(__u32 tid)
{
	bpf_map_delete_elem(&starts, &tid);
}

/* The state of a task; the member was renamed in 5.14. */
static __always_inline long task_state(bool typed, struct task_struct *task)
{
	if (bpf_core_field_exists(task->__state))
		return typed ? task->__state : BPF_CORE_READ(task, __state);
	return BPF_CORE_READ((struct task_struct___before_5_14 *)task, state);
}
