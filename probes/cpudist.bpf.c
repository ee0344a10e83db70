// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* cpudist: how long tasks stay on a processor at a time, or off it.
 *
 * Hook: sched_switch. The first task of its arguments leaves the processor that the program runs on, the second one comes. Every
 * leaving ends a stretch, whether the task sleeps, is preempted or is dead.
 */
#include "kernel.h"
#include "cpudist.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "starts.bpf.h"

SEC(".rodata.config") const volatile struct cpudist_config config = {};

/* The task that runs on this processor, and since when. A stretch begins and ends on one processor, so no map by thread is needed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct start);    /* the note is the thread's id */
} running SEC(".maps");

static __always_inline __u64 key_of(bool typed, struct task_struct *task, enum cpudist_reason reason)
{
	switch (config.key) {
	case CPUDIST_PROCESS:
		return read_member(typed, task, tgid);
	case CPUDIST_THREAD:
		return read_member(typed, task, pid);
	case CPUDIST_REASON:
		return reason;
	default:
		return 0;
	}
}

/* Adds the stretch that ends now. */
static __always_inline int end_stretch(bool typed, struct task_struct *task, __u64 began_ns, __u64 time_ns, enum cpudist_reason reason)
{
	__u64 took = time_ns - began_ns;

	/* Clocks of two processors may disagree by some nanoseconds. */
	if ((__s64)took < 0)
		took = 0;
	return histogram_add(see(), key_of(typed, task, reason), took, task);
}

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	__u32 out = read_member(typed, prev, pid), in = read_member(typed, next, pid), zero = 0;
	__u64 began_ns, time_ns = bpf_ktime_get_ns();
	struct start *start;
	enum cpudist_reason reason;
	long state;

	/* A task preempted on its way to sleep could have gone on, whatever its state says. */
	state = task_state(typed, prev);
	reason = preempted || !state ? CPUDIST_INVOLUNTARY : CPUDIST_VOLUNTARY;

	if (!config.off) {
		start = bpf_map_lookup_elem(&running, &zero);
		if (!start)
			return 0;
		/* Zero: it came before tracing began. */
		began_ns = start->note == out ? start->time_ns : 0;
		start->time_ns = time_ns;
		start->note = in;
		if (!began_ns || (!out && !config.include_idle))
			return 0;
		if (!filter_task(typed, prev))
			return count(see(), SWTRACE_FILTERED);
		return end_stretch(typed, prev, began_ns, time_ns, reason);
	}

	/* The idle tasks of all processors share the id 0, under which no time can be kept. */
	if (out) {
		if (reason == CPUDIST_VOLUNTARY && state & TASK_DEAD)
			forget_start(out);
		else if (!filter_task(typed, prev))
			count(see(), SWTRACE_FILTERED);
		else
			set_start(out, time_ns, reason);
	}
	if (!in)
		return 0;
	start = bpf_map_lookup_elem(&starts, &in);
	if (!start || !start->time_ns)
		return 0;
	began_ns = start->time_ns;
	start->time_ns = 0;
	return end_stretch(typed, next, began_ns, time_ns, start->note);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_btf, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_switch(true, preempted, prev, next);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(switch_raw, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_switch(false, preempted, prev, next);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
