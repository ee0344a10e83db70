// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Switches and wake-ups that the kernel did not show.
 *
 * Some kernels run no program for a switch now and then, and count none as missed. The scheduler's own numbers tell: each task has
 * that of its leavings, and each processor that of its switches, both counted before the tracepoint.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "starts.bpf.h"

/* Counts events that were hidden. */
static __always_inline int count_hidden(__u64 number)
{
	struct moment now = this_moment();

	count_all(now, SWTRACE_SEEN, number);
	return count_all(now, SWTRACE_LOST_HIDDEN, number);
}

/* How often a task has left a processor. While it is off, that is the number of its next coming. */
static __always_inline __u64 leavings(bool typed, struct task_struct *task)
{
	return read_member(typed, task, nvcsw) + read_member(typed, task, nivcsw);
}

/* A start's note for those who call what follows: the number of the next coming, and below it one bit of the tool's. */
#define NOTE(number, bit) ((number) << 1 | (bit))

/* Counts the comings that were hidden, of a task that comes or leaves; it must match the filter. */
static __always_inline void notice_comings(struct start *start, __u64 number)
{
	__u64 next = start->note >> 1;

	if (number > next)
		count_hidden(number - next);
}

/* Notes that a task leaves, or is new; it must match the filter. */
static __always_inline void begin_off(bool typed, struct task_struct *task, __u64 time_ns, __u32 bit)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);

	if (start) {
		__u64 number = leavings(typed, task);

		/* Fewer than were noted: the thread's number was another one's. */
		if (number < start->note >> 1)
			start->note = NOTE(number, 0);
		start->time_ns = time_ns;
		start->note = (start->note & ~1ULL) | bit;
	} else
		insert_start(tid, time_ns, NOTE(leavings(typed, task), bit));
}

/* The same at a wake-up: nothing begins for a task that still runs, nor anew for one that left on its way to sleep. */
static __always_inline void begin_off_woken(bool typed, struct task_struct *task, __u64 time_ns)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start;

	if (typed ? task->on_cpu : BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu))
		return;
	start = find_start(tid);
	if (!start)
		insert_start(tid, time_ns, NOTE(leavings(typed, task), 0));
	else if (!start->time_ns)
		start->time_ns = time_ns;
}

/* Ends what these began, at a coming.
 *
 * Returns when it began, with the tool's bit; 0 where that is not known. After a hidden coming it is not: what was noted may be from before. */
static __always_inline __u64 end_off(bool typed, struct task_struct *task, __u32 *bit)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);
	__u64 number, began_ns;

	if (!start)
		return 0;
	number = leavings(typed, task);
	began_ns = start->time_ns;
	*bit = start->note & 1;
	if (!began_ns || number != start->note >> 1) {
		if (filter_task(typed, task)) {
			notice_comings(start, number);
			count_hidden(1);
		}
		began_ns = 0;
	}
	start->time_ns = 0;
	start->note = NOTE(number + 1, 0);
	return began_ns;
}

/* The same at a task's last leaving. */
static __always_inline void end_of_task(bool typed, struct task_struct *task)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);

	if (!start)
		return;
	if (filter_task(typed, task))
		notice_comings(start, leavings(typed, task));
	forget_start(tid);
}

/* Tasks with comings that nobody has noticed, to user space, which counts those of which that is still so when all is detached. */
SEC("iter/task")
int report_hidden(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct swtrace_hidden hidden = {};
	struct start *start;
	__u64 number;

	if (!task)
		return 0;
	hidden.tid = task->pid;
	start = find_start(hidden.tid);
	if (!start)
		return 0;
	hidden.next = start->note >> 1;
	number = leavings(true, task);
	if (number <= hidden.next || !filter_task(true, task))
		return 0;
	hidden.count = number - hidden.next;
	bpf_seq_write(ctx->meta->seq, &hidden, sizeof(hidden));
	return 0;
}

/* How many switches there were on this processor; 0 where the kernel does not tell. */
static __always_inline __u64 switches_here(bool typed, struct task_struct *prev)
{
	if (!bpf_core_field_exists(((struct cfs_rq *)0)->rq))
		return 0;
	return typed ? prev->se.cfs_rq->rq->nr_switches : BPF_CORE_READ(prev, se.cfs_rq, rq, nr_switches);
}
