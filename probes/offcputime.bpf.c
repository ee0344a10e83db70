// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* offcputime, offwaketime: how long tasks were blocked, with the stack they blocked in, and with that of who woke them.
 *
 * Hooks: sched_switch and raw_syscalls sys_exit; for offwaketime sched_waking, which runs in the waker's context, always. At the
 * switch to a task its kernel stack is still the one it slept with, so nothing is walked when it goes to sleep, and nothing at all
 * below the minimum. Its user stack cannot be walked until it runs: that is done where its system call ends. Of a wait outside a
 * system call (a page fault) only the interrupted user instruction is known: the next system call may come from anywhere. Iterators
 * over all tasks find those that are blocked when the trace begins and ends.
 */
#include "kernel.h"
#include "offcputime.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "unwind.bpf.h"
#include "starts.bpf.h"
#include "wait.bpf.h"
#include "syscall.bpf.h"

SEC(".rodata.config") const volatile struct offcputime_config config = {};

/* A start's note is the end of the first wait whose user stack is owed, or 0. */

/* How many starts have one: system calls end far more often than waits that count. */
__u64 owed = 0;

static __always_inline void settle(struct start *start)
{
	if (!start->note)
		return;
	start->note = 0;
	__sync_fetch_and_add(&owed, -1);
}

/* The registers with which the task entered the kernel, to be read by copy; null where they cannot be found. */
static __always_inline struct pt_regs *user_registers(bool typed, struct task_struct *task)
{
	/* The helper is of 5.15. */
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs))
		return typed ? (struct pt_regs *)bpf_task_pt_regs(task) : NULL;
#if defined(__TARGET_ARCH_x86)
	/* At the end of the 16 KiB of its stack. */
	return BPF_CORE_READ(task, stack) + 16384 - bpf_core_type_size(struct pt_regs);
#else
	return NULL;
#endif
}

/* Whether the task entered the kernel by a system call, as far as can be known; else `ip` is the user instruction. */
static __always_inline bool is_in_syscall(bool typed, struct task_struct *task, __u64 *ip)
{
	struct pt_regs *regs = user_registers(typed, task);

	/* Where it is not known, user space looks for an exception's entry in the kernel stack. */
	if (!regs || (__s32)syscall_number(false, regs) >= 0)
		return true;
	*ip = PT_REGS_IP_CORE(regs);
	return false;
}

/* Whether the task waits in futex(2) or one of the calls that came after it; false where that cannot be known. */
static __always_inline bool is_in_futex(bool typed, struct task_struct *task)
{
	struct pt_regs *regs = user_registers(typed, task);
	int number;

	if (!regs || !has_user_stack(typed, task))
		return false;
	number = syscall_number(false, regs);
	if (number == SYSCALL_FUTEX_WAITV || number == SYSCALL_FUTEX_WAIT)
		return true;
	return is_compat(typed, task) ? number == COMPAT_FUTEX || number == COMPAT_FUTEX_TIME64 : number == SYSCALL_FUTEX;
}

/* What a wait of such a length counts for, as bits of enum offcputime_profile. */
static __always_inline __u32 profiles_of_wait(bool typed, struct task_struct *task, __u64 waited)
{
	__u32 profiles = 0;

	if ((config.profiles & OFFCPUTIME_WAITS) && is_between(waited, config.minimum_ns, config.maximum_ns))
		profiles |= OFFCPUTIME_WAITS;
	if ((config.profiles & OFFCPUTIME_LOCKS) && is_between(waited, config.lock_minimum_ns, config.maximum_ns) && is_in_futex(typed, task))
		profiles |= OFFCPUTIME_LOCKS;
	return profiles;
}

/* Working memory for the wait of a start that ends; null after counting why there is none. */
static __always_inline struct stack_room *count_wait(struct moment now, bool typed, struct task_struct *task, struct start *start, __u64 time_ns)
{
	__u64 waited = end_of_wait(start, time_ns);
	__u32 profiles = profiles_of_wait(typed, task, waited);
	struct stack_room *room;

	if (!profiles) {
		count(now, SWTRACE_FILTERED);
		return NULL;
	}
	room = take_wait(now, time_ns, waited, config.samples, !!(profiles & OFFCPUTIME_LOCKS));
	if (room)
		room->event.profiles = profiles;
	return room;
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
		start = find_start(tid);
		if (start && start->time_ns)
			remark(SWTRACE_UNFINISHED);
		if (start)
			settle(start);
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
	start = find_start(tid);
	if (start) {
		/* The end of the wait before was not seen: kernels may hide the switches of a task, and with them those to the next. */
		if (start->time_ns)
			remark(SWTRACE_UNFINISHED);
		start->time_ns = time_ns;
	} else
		set_start(tid, time_ns, 0);
}

/* So many reads take about ten microseconds: longer than a switch. */
#define LEAVING_READS 1024

/* The kernel walks no stack of a task that another processor runs (unwind_start() in arch/x86/kernel/unwind_orc.c). One that is woken while it
 * is being switched from still is such a task, for about a microsecond, and the wake-up itself waits for that (try_to_wake_up()). No longer:
 * the processor may be a virtual one that does not run. */
static __always_inline void await_leaving(struct task_struct *task)
{
	for (int i = 0; i < LEAVING_READS; i++)
		if (!BPF_CORE_READ(task, on_cpu))
			break;
}

/* Whose event it is, and where that task waits; its addresses go behind those that are there already. */
static __always_inline void describe(struct moment now, bool typed, struct task_struct *task, struct stack_room *room, struct start *start)
{
	/* Of 64 bits: the compiler would extend a shorter one after it has been checked, and the verifier not recognize it. */
	__u64 at = frames_of(room->event.partner_kernel_frames) + frames_of(room->event.partner_user_frames);

	room->event.pid = read_member(typed, task, tgid);
	room->event.tid = read_member(typed, task, pid);
	bpf_core_read_str(room->event.comm, sizeof(room->event.comm), &task->comm);
	barrier_var(at);
	/* Only a typed pointer may be given to the helper. */
	if (typed && stack_config.kernel && at <= 2 * SWTRACE_STACK_DEPTH)
		room->event.kernel_frames = stack_frames(now, bpf_get_task_stack(task, &room->addresses[at], STACK_BYTES, 0),
							 SWTRACE_MISSING_KERNEL_STACK);
	if (stack_config.user && has_user_stack(typed, task)) {
		__u64 ip = 0;

		at += frames_of(room->event.kernel_frames);
		barrier_var(at);
		if (is_in_syscall(typed, task, &ip)) {
			room->event.kind = SWTRACE_STACK_USER_FOLLOWS;
			if (!start->note) {
				start->note = room->event.time_ns;
				__sync_fetch_and_add(&owed, 1);
			}
		} else {
			/* It was put aside for the calls, and some verifiers do not recognize it when it comes back checked. */
			barrier_var(at);
			if (at <= 3 * SWTRACE_STACK_DEPTH) {
				room->addresses[at] = ip;
				room->event.user_frames = 1;
				count(now, SWTRACE_MISSING_USER_STACK);
			}
		}
	}
}

static __always_inline int end_wait(bool typed, struct task_struct *task, struct start *start, __u64 time_ns)
{
	struct moment now = see();
	struct stack_room *room = count_wait(now, typed, task, start, time_ns);

	if (!room)
		return 0;
	describe(now, typed, task, room, start);
	return send_stack(now, room, 0);
}

/* The end of a wait for tools that want to know who ended it: the task that runs now. What comes after is no waiting but a queue. */
static __always_inline int handle_waking(void *ctx, bool typed, bool by_rules, struct task_struct *task)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);
	__u64 ids = bpf_get_current_pid_tgid(), time_ns = bpf_ktime_get_ns(), kernel;
	struct stack_room *room;
	struct moment now;

	if (!start || !start->time_ns)
		return 0;
	now = see();
	room = count_wait(now, typed, task, start, time_ns);
	if (!room)
		return 0;
	room->event.relation = SWTRACE_PARTNER_WOKE;
	room->event.partner_pid = ids >> 32;
	bpf_get_current_comm(room->event.partner, sizeof(room->event.partner));
	if (stack_config.kernel)
		room->event.partner_kernel_frames =
			stack_frames(now, bpf_get_stack(ctx, room->addresses, STACK_BYTES, 0), SWTRACE_MISSING_KERNEL_STACK);
	kernel = frames_of(room->event.partner_kernel_frames);
	barrier_var(kernel);
	if (stack_config.user && kernel <= SWTRACE_STACK_DEPTH && has_user_stack(false, (void *)bpf_get_current_task())) {
		if (by_rules)
			room->event.partner_user_frames = unwind_partner(now, ctx, room, 0, ids >> 32, kernel);
		else
			room->event.partner_user_frames = stack_frames(
				now, bpf_get_stack(ctx, &room->addresses[kernel], STACK_BYTES, BPF_F_USER_STACK),
				SWTRACE_MISSING_USER_STACK);
	}
	if (stack_config.kernel)
		await_leaving(task);
	describe(now, typed, task, room, start);
	return send_stack(now, room, 0);
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
	start = find_start(in);
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

SEC("tp_btf/sched_waking")
int BPF_PROG(waking_btf_rules, struct task_struct *task) { return handle_waking(ctx, true, true, task); }

SEC("raw_tp/sched_waking")
int BPF_PROG(waking_raw_rules, struct task_struct *task) { return handle_waking(ctx, false, true, task); }

SEC("tp_btf/sched_waking")
int BPF_PROG(waking_btf, struct task_struct *task) { return handle_waking(ctx, true, false, task); }

SEC("raw_tp/sched_waking")
int BPF_PROG(waking_raw, struct task_struct *task) { return handle_waking(ctx, false, false, task); }

/* The end of the system call in which the thread waited: now its user stack can be walked.
 *
 * The part is no event: what it belongs to has been counted. User space counts the waits whose part does not come. */
static __always_inline int handle_exit(void *ctx, bool by_rules)
{
	__u64 ids = bpf_get_current_pid_tgid();
	__u32 tid = ids;
	__u32 which = 1;                /* the second room: a switch can interrupt this hook */
	struct stack_room *room;
	struct moment nobody = {};
	struct start *start;
	__u32 rest = 0;
	__u64 since;

	if (!*(volatile __u64 *)&owed)
		return 0;
	start = find_start(tid);
	if (!start || !start->note)
		return 0;
	since = start->note;
	settle(start);
	room = empty_room(which);
	if (!room)
		return 0;
	room->event.kind = SWTRACE_STACK_USER_PART;
	room->event.time_ns = since;
	room->event.value = 0;
	room->event.pid = ids >> 32;
	room->event.tid = tid;
	if (by_rules)
		rest = unwind_user_of_call(nobody, ctx, room, which);
	else
		walk_user(nobody, ctx, room);
	output_stack(room, rest);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit_btf_rules, struct pt_regs *regs, long result) { return handle_exit(ctx, true); }

SEC("raw_tp/sys_exit")
int BPF_PROG(exit_raw_rules, struct pt_regs *regs, long result) { return handle_exit(ctx, true); }

SEC("tp_btf/sys_exit")
int BPF_PROG(exit_btf, struct pt_regs *regs, long result) { return handle_exit(ctx, false); }

SEC("raw_tp/sys_exit")
int BPF_PROG(exit_raw, struct pt_regs *regs, long result) { return handle_exit(ctx, false); }

/* Whether a task is off the processors until somebody wakes it. */
static __always_inline bool is_blocked(struct task_struct *task, long state)
{
	return state && !(state & (TASK_DEAD | TASK_NEW)) && !task->on_cpu;
}

/* Waits that are on when the trace begins: they count from now. */
SEC("iter/task")
int enter_blocked(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u64 time_ns = bpf_ktime_get_ns();
	struct start *start;
	long state;
	__u32 tid;

	if (!task)
		return 0;
	state = task_state(true, task);
	if (!is_blocked(task, state) || !is_wanted(true, task, state))
		return 0;
	tid = task->pid;
	/* Unless it has just begun to wait again. */
	if (find_start(tid) || insert_start(tid, time_ns, 0))
		return 0;
	/* It may have come back before there was an entry to see that by. */
	start = find_start(tid);
	if (!is_blocked(task, task_state(true, task)) && start && start->time_ns == time_ns)
		start->time_ns = 0;
	return 0;
}

/* One reader at a time: user space's at the end. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack_room);
} blocked_room SEC(".maps");

/* Waits that are on when the trace ends, to user space, which takes those that are still the same when nothing can end them any more.
 * They are no events before: user space counts them. */
SEC("iter/task")
int report_blocked(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct stack_room *room;
	struct start *start;
	struct pt_regs *regs;
	__u32 tid, zero = 0;
	__u64 kernel, bytes;

	if (!task)
		return 0;
	tid = task->pid;
	start = find_start(tid);
	room = bpf_map_lookup_elem(&blocked_room, &zero);
	if (!start || !start->time_ns || !room)
		return 0;
	room->event.kind = SWTRACE_STACK_BLOCKED;
	room->event.async_at = SWTRACE_NO_ASYNC;
	room->event.time_ns = start->time_ns;
	room->event.value = start->note;
	room->event.pid = task->tgid;
	room->event.tid = tid;
	bpf_core_read_str(room->event.comm, sizeof(room->event.comm), &task->comm);
	room->event.kernel_frames = 0;
	room->event.user_frames = 0;
	if (stack_config.kernel) {
		long walked = bpf_get_task_stack(task, room->addresses, STACK_BYTES, 0);

		room->event.kernel_frames = walked > 0 ? walked / sizeof(__u64) : walked;
	}
	kernel = frames_of(room->event.kernel_frames);
	barrier_var(kernel);
	regs = user_registers(true, task);
	if (stack_config.user && has_user_stack(true, task))
		room->event.user_frames = -95;          /* EOPNOTSUPP */
	if (room->event.user_frames && regs && kernel <= SWTRACE_STACK_DEPTH) {
		__u64 *registers = &room->addresses[kernel];

		/* One pointer, which the verifier has seen checked. */
		barrier_var(registers);
		registers[0] = PT_REGS_IP_CORE(regs);
		registers[1] = PT_REGS_FP_CORE(regs);
		registers[2] = PT_REGS_SP_CORE(regs);
		registers[3] = BPF_CORE_READ(regs, r14);
		room->event.user_frames = SWTRACE_BLOCKED_REGISTERS;
	}
	bytes = event_size(room, 0);
	if (bytes <= LARGEST_EVENT)
		bpf_seq_write(ctx->meta->seq, &room->event, bytes);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
