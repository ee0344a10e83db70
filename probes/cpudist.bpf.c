// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* cpudist: how long tasks stay on a processor at a time, or off it.
 *
 * Hook: sched_switch. The first task of its arguments leaves the processor that the program runs on, the second one comes. Every
 * leaving ends a stretch, whether the task sleeps, is preempted or is dead.
 */
#include "kernel.h"
#include "cpudist.h"
#include "filter.bpf.h"
#include "hidden.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "starts.bpf.h"

SEC(".rodata.config") const volatile struct cpudist_config config = {};

/* The last switch on a processor. */
struct coming {
	__u64 time_ns;                  /* 0: tracing has begun since */
	struct task_struct *task;       /* who came */
	__u64 number;                   /* switches_here() */
};

/* A stretch begins and ends on one processor, so no map by thread is needed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct coming);
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

/* Whether the stretches of a task are of interest. */
static __always_inline bool is_wanted(bool typed, struct task_struct *task)
{
	return (read_member(typed, task, pid) || config.include_idle) && filter_task(typed, task);
}

/* Counts the stretches that ended with hidden switches, or began with the last of them: of the task that came before, of some that are not
 * known, and of the one that leaves now. */
static __always_inline int lose_stretches(bool typed, struct coming *before, struct task_struct *prev, __u64 hidden)
{
	__u64 number = hidden - 1;

	/* By copy: the task may be gone, which gives zeros or what is there now. */
	if (is_wanted(false, before->task))
		number++;
	if (is_wanted(typed, prev))
		number++;
	return number ? count_hidden(number) : 0;
}

/* The stretch of the task that leaves. */
static __always_inline int handle_leaving(bool typed, struct task_struct *prev, struct task_struct *next, __u64 time_ns,
					  enum cpudist_reason reason)
{
	__u32 zero = 0;
	struct coming *here = bpf_map_lookup_elem(&running, &zero), before;

	if (!here)
		return 0;
	before = *here;
	here->time_ns = time_ns;
	here->task = next;
	here->number = switches_here(typed, prev);
	if (!before.time_ns)
		return 0;
	if (here->number ? here->number - before.number != 1 : before.task != prev)
		return lose_stretches(typed, &before, prev, here->number ? here->number - before.number - 1 : 1);
	if (!read_member(typed, prev, pid) && !config.include_idle)
		return 0;
	if (!filter_task(typed, prev))
		return count(see(), SWTRACE_FILTERED);
	return end_stretch(typed, prev, before.time_ns, time_ns, reason);
}

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	__u32 out = read_member(typed, prev, pid), in = read_member(typed, next, pid), note;
	__u64 began_ns, time_ns = bpf_ktime_get_ns();
	enum cpudist_reason reason;
	long state;

	/* A task preempted on its way to sleep could have gone on, whatever its state says. */
	state = task_state(typed, prev);
	reason = preempted || !state ? CPUDIST_INVOLUNTARY : CPUDIST_VOLUNTARY;

	if (!config.off)
		return handle_leaving(typed, prev, next, time_ns, reason);

	/* The idle tasks of all processors share the id 0, under which no time can be kept. */
	if (out) {
		if (reason == CPUDIST_VOLUNTARY && state & TASK_DEAD)
			end_of_task(typed, prev);
		else if (!filter_task(typed, prev))
			count(see(), SWTRACE_FILTERED);
		else
			begin_off(typed, prev, time_ns, reason);
	}
	if (!in)
		return 0;
	began_ns = end_off(typed, next, &note);
	return began_ns ? end_stretch(typed, next, began_ns, time_ns, note) : 0;
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
