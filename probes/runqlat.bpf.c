// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* runqlat: the time from a task being runnable to running.
 *
 * Hook: sched_switch, where the scheduler knows since when the task that comes has waited: nothing has to be done when it is woken. Where
 * it does not keep that, sched_wakeup and sched_wakeup_new as well (it becomes runnable), and sched_switch for tasks that are switched
 * out while still runnable. The filter tests the task that waits, not the one that wakes it.
 */
#include "kernel.h"
#include "runqlat.h"
#include "filter.bpf.h"
#include "hidden.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "starts.bpf.h"

SEC(".rodata.config") const volatile struct runqlat_config config = {};

static __always_inline int begin_wait(bool typed, struct task_struct *task, bool woken, __u64 time_ns)
{
	if (!filter_task(typed, task))
		return count(see(), SWTRACE_FILTERED);
	if (woken)
		begin_off_woken(typed, task, time_ns);
	else
		begin_off(typed, task, time_ns, 0);
	return 0;
}

static __always_inline __u64 key_of(bool typed, struct task_struct *task)
{
	switch (config.key) {
	case RUNQLAT_PROCESS:
		return read_member(typed, task, tgid);
	case RUNQLAT_THREAD:
		return read_member(typed, task, pid);
	case RUNQLAT_PID_NAMESPACE:
		return BPF_CORE_READ(task, nsproxy, pid_ns_for_children, ns.inum);
	case RUNQLAT_CGROUP:
		return typed ? task->cgroups->dfl_cgrp->kn->id : BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	default:
		return 0;
	}
}

static __always_inline int add_wait(bool typed, struct task_struct *task, __u64 waited)
{
	bool named = config.key == RUNQLAT_PROCESS || config.key == RUNQLAT_THREAD;

	/* Clocks of two processors may disagree by some nanoseconds. */
	return histogram_add(see(), key_of(typed, task), (__s64)waited < 0 ? 0 : waited, named ? task : NULL);
}

static __always_inline __u64 clock_here(bool typed, struct task_struct *task)
{
	return typed ? task->se.cfs_rq->rq->clock : BPF_CORE_READ(task, se.cfs_rq, rq, clock);
}

/* How long a task has waited until now since it was new. */
static __always_inline __u64 delay_of(bool typed, struct task_struct *task, __u64 time_ns)
{
	__u64 queued_ns = read_member(typed, task, sched_info.last_queued);

	return read_member(typed, task, sched_info.run_delay) + (queued_ns ? time_ns - queued_ns : 0);
}

/* In a note: which coming is the next is not known, only what was before. */
#define ANY_COMING (1ULL << 63)

/* A task comes to a processor. A start's time is the delay of all waits before, unless its note's bit says that it is when this one began. */
static __always_inline int end_queueing(bool typed, struct task_struct *task, __u64 time_ns)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);
	__u64 number = leavings(typed, task), delay = delay_of(typed, task, time_ns), next, note, before;

	if (!start) {
		if (insert_start(tid, delay, NOTE(number + 1, 0)))
			return 0;
		/* Of a task that is not new nothing was known. */
		return number ? 0 : add_wait(typed, task, delay);
	}
	note = start->note;
	before = start->time_ns;
	start->note = NOTE(number + 1, 0);
	start->time_ns = delay;
	next = note >> 1;
	if (number > next)
		return count_hidden(number - next + 1);
	if (note & ANY_COMING)
		next = number;
	/* Fewer than were noted: the thread's number was another one's. */
	if (number < next)
		return number ? 0 : add_wait(typed, task, delay);
	return add_wait(typed, task, (note & 1 ? time_ns : delay) - before);
}

/* Tasks that are preempted on their way to sleep wait like others, but the scheduler does not note it. */
static __always_inline void begin_unnoted(bool typed, struct task_struct *task)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);

	if (!start || (start->note != ANY_COMING && start->note != NOTE(leavings(typed, task), 0)))
		return;
	start->note |= 1;
	start->time_ns = clock_here(typed, task);
}

static __always_inline int handle_arrival(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	long state = task_state(typed, prev);

	/* The idle tasks have pid 0; they never wait. */
	if (state && read_member(typed, prev, pid)) {
		if (preempted)
			begin_unnoted(typed, prev);
		else if (state & TASK_DEAD)
			end_of_task(typed, prev);
	}
	if (!read_member(typed, next, pid))
		return 0;
	if (!filter_task(typed, next))
		return count(see(), SWTRACE_FILTERED);
	return end_queueing(typed, next, clock_here(typed, next));
}

SEC("tp_btf/sched_switch")
int BPF_PROG(arrival_btf, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_arrival(true, preempted, prev, next);
}

SEC("raw_tp/sched_switch")
int BPF_PROG(arrival_raw, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_arrival(false, preempted, prev, next);
}

/* Tasks that are there when the trace begins. */
SEC("iter/task")
int enter_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	/* It may have come meanwhile. */
	if (task && filter_task(true, task) && !find_start(task->pid))
		insert_start(task->pid, task->sched_info.run_delay, ANY_COMING);
	return 0;
}

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	__u32 out = read_member(typed, prev, pid), in = read_member(typed, next, pid);
	__u64 time_ns = bpf_ktime_get_ns(), began_ns;
	__u32 none;

	/* The idle tasks have pid 0; they never wait. */
	if (out) {
		long state = task_state(typed, prev);

		/* A task preempted on its way to sleep is still runnable, whatever its state says. */
		if (preempted || !state)
			begin_wait(typed, prev, false, time_ns);
		else if (state & TASK_DEAD)
			end_of_task(typed, prev);
	}
	if (!in)
		return 0;
	began_ns = end_off(typed, next, &none);
	return began_ns ? add_wait(typed, next, time_ns - began_ns) : 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(wakeup_btf, struct task_struct *task) { return begin_wait(true, task, true, bpf_ktime_get_ns()); }

SEC("raw_tp/sched_wakeup")
int BPF_PROG(wakeup_raw, struct task_struct *task) { return begin_wait(false, task, true, bpf_ktime_get_ns()); }

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wakeup_new_btf, struct task_struct *task) { return begin_wait(true, task, false, bpf_ktime_get_ns()); }

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(wakeup_new_raw, struct task_struct *task) { return begin_wait(false, task, false, bpf_ktime_get_ns()); }

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
