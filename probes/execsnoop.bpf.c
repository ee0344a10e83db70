// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* execsnoop: one event for each execve and execveat.
 *
 * Hooks: sched_process_exec for those that succeed, where the arguments are in the memory of the new program, all of them and
 * resident; and, if asked for, raw_syscalls sys_exit for those that fail, where path and arguments are still in the caller's memory.
 * Nothing is kept from the beginning of a call to its end, so it does not matter which thread calls.
 */
#include "kernel.h"
#include "execsnoop.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "pieces.h"
#include "syscall.bpf.h"

#define PATH 4096                       /* PATH_MAX */
#define SHORT_PATH 256
#define SHORT_ARGUMENTS 1024
#define LONG_ARGUMENTS 8192
#define PIECE 32768
#define PIECES 192                      /* 6 MiB: the most that the kernel takes; 2 MiB with the usual limit of the stack */
#define FAILED_ARGUMENTS 64             /* of a call that failed; more are counted as truncated */
#define FAILED_ARGUMENT 1024

static __always_inline void fill(bool typed, struct execsnoop_event *event, __u64 time_ns, struct task_struct *task, long result)
{
	event->time_ns = time_ns;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->result = result;
	event->path_length = 0;
	event->arguments_length = 0;
	event->pieces_length = 0;
	event->flags = 0;
	event->cpu = bpf_get_smp_processor_id();
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	BPF_CORE_READ_INTO(&event->parent_comm, task, real_parent, comm);
}

/* What an event needs of the exec that succeeded. */
struct exec {
	struct task_struct *task;
	const char *path;
	unsigned long start;            /* of the arguments */
	__u64 time_ns;
	__u32 length;                   /* of what goes into the event */
	__u32 sent;                     /* of what went before */
	__u32 flags;
};

/* Sends an event with so much room. Returns 1 when the path needs more, which `whole` excludes. */
static __always_inline int send_exec(bool typed, struct moment now, struct exec *exec, bool whole, __u32 path_room, __u32 room)
{
	struct execsnoop_event *event = reserve_event(now, sizeof(*event) + path_room + room);
	__u32 length = exec->length;
	char *text;
	long size;

	if (!event)
		return 0;
	text = (void *)(event + 1);
	size = bpf_probe_read_kernel_str(text, path_room, exec->path);
	if (!whole && size == path_room) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		return 1;
	}
	fill(typed, event, exec->time_ns, exec->task, 0);
	event->path_length = size > 0 ? size : 0;
	event->arguments_offset = path_room;
	event->pieces_length = exec->sent;
	event->flags = exec->flags;
	/* Older verifiers forget the bound of a variable that was on the stack, and the compiler knows it already. */
	asm volatile("" : "+r"(length));
	if (length > room)
		length = room;
	if (!bpf_probe_read_user(text + path_room, length, (void *)exec->start))
		event->arguments_length = length;
	else
		event->flags |= EXECSNOOP_ARGUMENTS_CUT;
	if (size <= 0 || event->flags & EXECSNOOP_ARGUMENTS_CUT)
		count(now, SWTRACE_TRUNCATED_TEXT);
	submit_event(now, event, sizeof(*event) + path_room + room);
	return 0;
}

enum sent { SENT, SENT_CUT, SENT_LOST };

static __always_inline enum sent send_piece(struct moment now, struct exec *exec, __u32 pid, __u64 size)
{
	struct swtrace_piece *piece = reserve_event(now, sizeof(*piece) + PIECE);
	enum sent sent = SENT;

	if (!piece)
		return SENT_LOST;
	piece->mark = SWTRACE_PIECE;
	piece->time_ns = exec->time_ns;
	piece->pid = pid;
	piece->length = size;
	asm volatile("" : "+r"(size));
	if (size > PIECE)
		size = PIECE;
	/* A page that is not resident, which is rare so soon after it was written. */
	if (bpf_probe_read_user(piece + 1, size, (void *)(exec->start + exec->sent))) {
		piece->length = 0;
		sent = SENT_CUT;
	}
	bpf_ringbuf_submit(piece, wake_flag(sizeof(*piece) + PIECE));
	return sent;
}

/* Sends the arguments ahead of their event. Returns whether all went; counts LOST_RING if not.
 *
 * Pieces in the loop have one size and every other case leaves it: what differs from round to round, the verifier follows to the
 * end. */
static __always_inline bool send_pieces(struct moment now, struct exec *exec, __u32 pid, __u64 left)
{
	enum sent sent = SENT;

	for (int i = 0; i < PIECES; i++) {
		if (left <= PIECE)
			break;
		sent = send_piece(now, exec, pid, PIECE);
		exec->sent += PIECE;
		if (sent != SENT)
			break;
		left -= PIECE;
	}
	if (sent == SENT && left <= PIECE) {
		sent = send_piece(now, exec, pid, left);
		exec->sent += left;
	} else if (sent == SENT) {
		sent = SENT_CUT;
	}
	if (sent == SENT_CUT)
		exec->flags |= EXECSNOOP_ARGUMENTS_CUT;
	return sent != SENT_LOST;
}

static __always_inline int handle_exec(bool typed, struct task_struct *task, struct linux_binprm *binprm)
{
	struct moment now = see();
	struct mm_struct *memory;
	struct exec exec = {};
	__u64 length;

	if (!filter_task(typed, task))
		return count(now, SWTRACE_FILTERED);

	memory = read_member(typed, task, mm);
	if (memory) {
		exec.start = read_member(typed, memory, arg_start);
		length = read_member(typed, memory, arg_end) - exec.start;
	} else {
		length = 0;
	}
	exec.task = task;
	exec.path = read_member(typed, binprm, filename);
	exec.time_ns = bpf_ktime_get_ns();
	if (read_member(typed, binprm, interp) != exec.path)
		exec.flags = EXECSNOOP_INTERPRETED;

	if (length <= SHORT_ARGUMENTS) {
		exec.length = length;
		if (!send_exec(typed, now, &exec, false, SHORT_PATH, SHORT_ARGUMENTS))
			return 0;
	}
	if (length <= LONG_ARGUMENTS) {
		exec.length = length;
		return send_exec(typed, now, &exec, true, PATH, LONG_ARGUMENTS);
	}
	if (!send_pieces(now, &exec, bpf_get_current_pid_tgid() >> 32, length))
		return 0;
	exec.length = 0;
	return send_exec(typed, now, &exec, true, PATH, 8);
}

/* The strings of an argv that may be anything, as far as they can be read; counts what is missing. */
static __always_inline void read_arguments(bool compat, struct moment now, struct execsnoop_event *event, char *into,
					   unsigned long vector)
{
	__u32 length = 0;
	int i;

	/* A null vector is an empty one to the kernel. */
	if (!vector)
		return;
	for (i = 0; i < FAILED_ARGUMENTS; i++) {
		unsigned long pointer = 0;
		long size;

		if (compat ? bpf_probe_read_user(&pointer, sizeof(__u32), (void *)(vector + i * sizeof(__u32))) :
			     bpf_probe_read_user(&pointer, sizeof(pointer), (void *)(vector + i * sizeof(pointer))))
			break;
		if (!pointer) {
			event->arguments_length = length;
			return;
		}
		if (length > LONG_ARGUMENTS - FAILED_ARGUMENT)
			break;
		size = bpf_probe_read_user_str(into + length, FAILED_ARGUMENT, (void *)pointer);
		if (size <= 0)
			break;
		length += size & (2 * FAILED_ARGUMENT - 1);
		if (size == FAILED_ARGUMENT)
			break;
	}
	event->arguments_length = length;
	event->flags |= EXECSNOOP_ARGUMENTS_CUT;
	count(now, SWTRACE_TRUNCATED_TEXT);
}

static __always_inline int handle_exit(bool typed, struct pt_regs *regs, long result)
{
	struct execsnoop_event *event;
	unsigned long path, vector;
	bool compat, is_at;
	struct moment now;
	char *text;
	int number;
	long size;

	if ((int)result >= 0)
		return 0;
	number = syscall_number(typed, regs);
	if (number != SYSCALL_EXECVE && number != SYSCALL_EXECVEAT && number != COMPAT_EXECVE && number != COMPAT_EXECVEAT)
		return 0;
	compat = is_compat(false, (void *)bpf_get_current_task());
	is_at = number == (compat ? COMPAT_EXECVEAT : SYSCALL_EXECVEAT);
	if (!is_at && number != (compat ? COMPAT_EXECVE : SYSCALL_EXECVE))
		return 0;

	now = see();
	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	event = reserve_event(now, sizeof(*event) + PATH + LONG_ARGUMENTS);
	if (!event)
		return 0;
	path = syscall_argument(compat, regs, is_at ? 2 : 1);
	vector = syscall_argument(compat, regs, is_at ? 3 : 2);
	fill(typed, event, bpf_ktime_get_ns(), (void *)bpf_get_current_task(), result);
	text = (void *)(event + 1);
	event->arguments_offset = PATH;
	size = bpf_probe_read_user_str(text, PATH, (void *)path);
	if (size > 0)
		event->path_length = size;
	else
		count(now, SWTRACE_TRUNCATED_TEXT);
	read_arguments(compat, now, event, text + PATH, vector);
	return submit_event(now, event, sizeof(*event) + PATH + LONG_ARGUMENTS);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_btf, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return handle_exec(true, task, binprm);
}

SEC("raw_tp/sched_process_exec")
int BPF_PROG(exec_raw, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	return handle_exec(false, task, binprm);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(failed_btf, struct pt_regs *regs, long result) { return handle_exit(true, regs, result); }

SEC("raw_tp/sys_exit")
int BPF_PROG(failed_raw, struct pt_regs *regs, long result) { return handle_exit(false, regs, result); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
