// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* wakeuptime: who wakes blocked tasks, by the stack of the waker, summed by the time that they were blocked.
 *
 * Hooks: sched_switch and sched_waking. The latter runs in the waker's context, always; sched_wakeup may run on another processor,
 * where somebody else happens to be. A wake-up from an interrupt has the stack of the task that was interrupted below the interrupt.
 */
#include "kernel.h"
#include "wakeuptime.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "unwind.bpf.h"
#include "starts.bpf.h"
#include "wait.bpf.h"

SEC(".rodata.config") const volatile struct wakeuptime_config config = {};

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *task)
{
	__u32 tid = read_member(typed, task, pid);
	long state = task_state(typed, task);
	struct start *start;

	/* The idle tasks have pid 0. A preempted task still runs as far as it knows, and one that is being woken already does not wait. */
	if (!tid || preempted || !state || state & TASK_WAKING)
		return 0;
	if (state & TASK_DEAD) {
		forget_start(tid);
		return 0;
	}
	if (config.user_threads_only && (read_member(typed, task, flags) & PF_KTHREAD))
		return count(see(), SWTRACE_FILTERED);
	if (!filter_task(typed, task))
		return count(see(), SWTRACE_FILTERED);
	start = find_start(tid);
	if (start) {
		/* Its waking was not seen. */
		if (start->time_ns)
			remark(SWTRACE_UNFINISHED);
		start->time_ns = bpf_ktime_get_ns();
	} else
		set_start(tid, bpf_ktime_get_ns(), 0);
	return 0;
}

static __always_inline int handle_waking(void *ctx, bool typed, bool by_rules, struct task_struct *task)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);
	__u64 ids = bpf_get_current_pid_tgid(), time_ns = bpf_ktime_get_ns();
	struct stack_room *room;
	struct moment now;
	__u32 rest = 0;
	__u64 waited;

	if (!start || !start->time_ns)
		return 0;
	now = see();
	waited = end_of_wait(start, time_ns);
	if (!is_between(waited, config.minimum_ns, config.maximum_ns))
		return count(now, SWTRACE_FILTERED);
	room = take_wait(now, time_ns, waited, false, 0);
	if (!room)
		return 0;
	room->event.pid = ids >> 32;
	room->event.tid = (__u32)ids;
	bpf_get_current_comm(room->event.comm, sizeof(room->event.comm));
	room->event.relation = SWTRACE_PARTNER_WAS_WOKEN;
	bpf_core_read_str(room->event.partner, sizeof(room->event.partner), &task->comm);
	walk_kernel(now, ctx, room);
	if (stack_config.user && has_user_stack(false, (void *)bpf_get_current_task())) {
		if (by_rules)
			rest = unwind_user_of_call(now, ctx, room, 0);
		else
			walk_user(now, ctx, room);
	}
	return send_stack(now, room, rest);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_btf, bool preempted, struct task_struct *prev) { return handle_switch(true, preempted, prev); }

SEC("raw_tp/sched_switch")
int BPF_PROG(switch_raw, bool preempted, struct task_struct *prev) { return handle_switch(false, preempted, prev); }

SEC("tp_btf/sched_waking")
int BPF_PROG(waking_btf_rules, struct task_struct *task) { return handle_waking(ctx, true, true, task); }

SEC("raw_tp/sched_waking")
int BPF_PROG(waking_raw_rules, struct task_struct *task) { return handle_waking(ctx, false, true, task); }

SEC("tp_btf/sched_waking")
int BPF_PROG(waking_btf, struct task_struct *task) { return handle_waking(ctx, true, false, task); }

SEC("raw_tp/sched_waking")
int BPF_PROG(waking_raw, struct task_struct *task) { return handle_waking(ctx, false, false, task); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
