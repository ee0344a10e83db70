// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* offcputime: how long tasks were blocked, with the stack they blocked in.
 *
 * Hooks: sched_switch and raw_syscalls sys_exit. At the switch to a task its kernel stack is still the one it slept with,
 * so nothing is walked when it goes to sleep, and nothing at all below the minimum. Its user stack cannot be walked until it
 * runs: that is done where its system call ends. Of a wait outside a system call (a page fault) only the interrupted user
 * instruction is known: the next system call may come from anywhere.
 */
#include "kernel.h"
#include "offcputime.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "stack.bpf.h"
#include "starts.bpf.h"
#include "syscall.bpf.h"

SEC(".rodata.config") const volatile struct offcputime_config config = {};

/* A start's note is the end of the first wait whose user stack is owed, or 0. */

/* Whether the task entered the kernel by a system call, as far as can be known; else `ip` is the user instruction. */
static __always_inline bool is_in_syscall(bool typed, struct task_struct *task, __u64 *ip)
{
	/* The helper is of 5.15. Before, user space looks for an exception's entry in the kernel stack. */
	if (typed && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		struct pt_regs *regs = (void *)bpf_task_pt_regs(task);

		if ((__s32)syscall_number(true, regs) < 0) {
			*ip = PT_REGS_IP_CORE(regs);
			return false;
		}
	}
	return true;
}

static __always_inline bool is_wanted(bool typed, struct task_struct *task, long state)
{
	if (config.states && !(state & config.states))
		return false;
	if (config.user_threads_only && (read_member(typed, task, flags) & PF_KTHREAD))
		return false;
	if (config.kernel_threads_only && !(read_member(typed, task, flags) & PF_KTHREAD))
		return false;
	return filter_task(typed, task);
}

static __always_inline void begin_wait(bool typed, bool preempted, struct task_struct *task, long state, __u32 tid, __u64 time_ns)
{
	struct start *start;

	if (state & TASK_DEAD) {
		start = bpf_map_lookup_elem(&starts, &tid);
		if (start && start->time_ns)
			remark(SWTRACE_UNFINISHED);
		forget_start(tid);
		return;
	}
	/* A preempted task still runs as far as it knows: that is run queue latency, not blocking. */
	if (preempted || !state)
		return;
	if (!is_wanted(typed, task, state)) {
		count(see(), SWTRACE_FILTERED);
		return;
	}
	start = bpf_map_lookup_elem(&starts, &tid);
	if (start) {
		/* The end of the wait before was not seen: kernels may hide the switches of a task, and with them those to the next. */
		if (start->time_ns)
			remark(SWTRACE_UNFINISHED);
		start->time_ns = time_ns;
	} else
		set_start(tid, time_ns, 0);
}

static __always_inline int end_wait(bool typed, struct task_struct *task, struct start *start, __u64 time_ns)
{
	__u64 waited = time_ns - start->time_ns;
	struct moment now = see();
	struct stack_room *room;

	start->time_ns = 0;
	/* Clocks of two processors may disagree by some nanoseconds. */
	if ((__s64)waited < 0)
		waited = 0;
	if (waited < config.minimum_ns || (config.maximum_ns && waited > config.maximum_ns))
		return count(now, SWTRACE_FILTERED);
	room = stack_room(now, 0);
	if (!room)
		return 0;
	room->event.time_ns = time_ns;
	room->event.value = waited;
	room->event.pid = read_member(typed, task, tgid);
	room->event.tid = read_member(typed, task, pid);
	bpf_core_read_str(room->event.comm, sizeof(room->event.comm), &task->comm);
	/* Only a typed pointer may be given to the helper. */
	if (typed && stack_config.kernel)
		room->event.kernel_frames = stack_frames(now, bpf_get_task_stack(task, room->addresses, STACK_BYTES, 0),
							 SWTRACE_MISSING_KERNEL_STACK);
	if (stack_config.user && has_user_stack(typed, task)) {
		__u32 kernel = room->event.kernel_frames > 0 ? room->event.kernel_frames : 0;
		__u64 ip = 0;

		if (is_in_syscall(typed, task, &ip)) {
			room->event.kind = SWTRACE_STACK_USER_FOLLOWS;
			if (!start->note)
				start->note = time_ns;
		} else if (kernel <= SWTRACE_STACK_DEPTH) {
			room->addresses[kernel] = ip;
			room->event.user_frames = 1;
			count(now, SWTRACE_MISSING_USER_STACK);
		}
	}
	return send_stack(now, room);
}

static __always_inline int handle_switch(bool typed, bool preempted, struct task_struct *prev, struct task_struct *next, long state)
{
	__u32 out = read_member(typed, prev, pid), in = read_member(typed, next, pid);
	__u64 time_ns = bpf_ktime_get_ns();
	struct start *start;

	/* The idle tasks have pid 0. */
	if (out)
		begin_wait(typed, preempted, prev, state, out, time_ns);
	if (!in)
		return 0;
	start = bpf_map_lookup_elem(&starts, &in);
	if (!start || !start->time_ns)
		return 0;
	return end_wait(typed, next, start, time_ns);
}

/* From 5.18 on the tracepoint has the state that the task went to sleep in; its own may already say that it is being woken. */
SEC("tp_btf/sched_switch")
int BPF_PROG(switch_state_btf, bool preempted, struct task_struct *prev, struct task_struct *next, unsigned int state)
{
	return handle_switch(true, preempted, prev, next, state);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(switch_btf, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_switch(true, preempted, prev, next, task_state(true, prev));
}

SEC("raw_tp/sched_switch")
int BPF_PROG(switch_raw, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return handle_switch(false, preempted, prev, next, task_state(false, prev));
}

/* The end of the system call in which the thread waited: now its user stack can be walked.
 *
 * The part is no event: what it belongs to has been counted. User space counts the waits whose part does not come. */
static __always_inline int handle_exit(void *ctx)
{
	__u64 ids = bpf_get_current_pid_tgid();
	__u32 tid = ids;
	__u32 which = 1;                /* the second room: a switch can interrupt this hook */
	struct start *start = bpf_map_lookup_elem(&starts, &tid);
	struct stack_room *room;
	__u64 since, bytes = 0;
	long walked;

	if (!start || !start->note)
		return 0;
	since = start->note;
	start->note = 0;
	room = bpf_map_lookup_elem(&stack_rooms, &which);
	if (!room)
		return 0;
	room->event.kind = SWTRACE_STACK_USER_PART;
	room->event.reserved = 0;
	room->event.time_ns = since;
	room->event.value = 0;
	room->event.pid = ids >> 32;
	room->event.tid = tid;
	room->event.kernel_frames = 0;
	walked = bpf_get_stack(ctx, room->addresses, STACK_BYTES, BPF_F_USER_STACK);
	room->event.user_frames = walked > 0 ? walked / sizeof(__u64) : walked;
	if (walked > 0)
		bytes = (__u64)room->event.user_frames * sizeof(__u64);
	barrier_var(bytes);
	if (bytes <= STACK_BYTES)
		bpf_ringbuf_output(&events, room, sizeof(room->event) + bytes, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit_btf, struct pt_regs *regs, long result) { return handle_exit(ctx); }

SEC("raw_tp/sys_exit")
int BPF_PROG(exit_raw, struct pt_regs *regs, long result) { return handle_exit(ctx); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
