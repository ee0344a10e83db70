// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* runqlat: the time from a task being runnable to running.
 *
 * Hooks: sched_wakeup and sched_wakeup_new (it becomes runnable), sched_switch (it runs; or it is switched out while still
 * runnable, and waits again). The filter tests the task that waits, not the one that wakes it.
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

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	__u32 out = read_member(typed, prev, pid), in = read_member(typed, next, pid);
	__u64 time_ns = bpf_ktime_get_ns(), began_ns, waited;
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
	if (!began_ns)
		return 0;
	waited = time_ns - began_ns;
	/* Clocks of two processors may disagree by some nanoseconds. */
	if ((__s64)waited < 0)
		waited = 0;
	return histogram_add(see(), key_of(typed, next), waited, next);
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
