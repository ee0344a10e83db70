// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* syscount: how many system calls, of which kind or by which process; with -L how long they took.
 *
 * Hook: raw_syscalls sys_exit, where the number is still in the registers. sys_enter is needed for latencies only, and with it the end
 * of threads, which leave by a call that never returns.
 */
#include "kernel.h"
#include "syscount.h"
#include "filter.bpf.h"
#include "histogram.h"
#include "loss.bpf.h"
#include "starts.bpf.h"
#include "syscall.bpf.h"

SEC(".rodata.config") const volatile struct syscount_config config = {};

#define MAX_ERRNO 4095

/* Cells of the two copies, one after the other: 32 KiB a processor. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2 * SYSCOUNT_NUMBERS);
	__type(key, __u32);
	__type(value, struct syscount_cell);
} cells SEC(".maps");

/* Processes, or numbers outside the table. About 1 MB with -P; sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct syscount_key);
	__type(value, struct syscount_named_cell);
} named_cells SEC(".maps");

/* About 1.3 MB with -L; sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct syscount_slot);
	__type(value, __u64);
} slots SEC(".maps");

/* What a call is counted under: a process, or a number with the interface that it came through. */
static __always_inline __u64 id_of(bool typed, struct task_struct *task, long number)
{
	if (config.by_process)
		return read_member(typed, task, tgid);
	return (__u32)number | (is_compat(typed, task) ? SYSCOUNT_COMPAT : 0);
}

static __always_inline struct syscount_cell *cell_of(struct moment now, __u64 id, bool is_renamed)
{
	struct syscount_key key = { .id = id, .copy = now.copy };
	struct syscount_named_cell *cell;

	if (!config.by_process && id < SYSCOUNT_NUMBERS) {
		__u32 index = now.copy * SYSCOUNT_NUMBERS + id;

		return bpf_map_lookup_elem(&cells, &index);
	}
	cell = bpf_map_lookup_elem(&named_cells, &key);
	if (!cell) {
		struct syscount_named_cell empty = {};

		if (config.by_process)
			bpf_get_current_comm(empty.comm, sizeof(empty.comm));
		/* Another processor may have made it meanwhile: that is as good. */
		bpf_map_update_elem(&named_cells, &key, &empty, BPF_NOEXIST);
		cell = bpf_map_lookup_elem(&named_cells, &key);
	} else if (config.by_process && is_renamed) {
		bpf_get_current_comm(cell->comm, sizeof(cell->comm));
	}
	return cell ? &cell->cell : NULL;
}

/* Notes how long a call took. Returns whether there was room. */
static __always_inline bool add_latency(struct moment now, struct syscount_cell *cell, __u64 id, __u64 took_ns)
{
	struct syscount_slot slot = { .id = id, .slot = swtrace_slot(took_ns), .copy = now.copy };
	__u64 *number = bpf_map_lookup_elem(&slots, &slot), zero = 0;

	if (!number) {
		bpf_map_update_elem(&slots, &slot, &zero, BPF_NOEXIST);
		number = bpf_map_lookup_elem(&slots, &slot);
		if (!number)
			return false;
	}
	__sync_fetch_and_add(number, 1);
	__sync_fetch_and_add(&cell->total_ns, took_ns);
	if (took_ns > cell->maximum_ns)
		cell->maximum_ns = took_ns;
	return true;
}

/* The time since the call began; false when it began before tracing, or as another task. */
static __always_inline bool take_start(bool typed, struct task_struct *task, long number, __u64 *took_ns)
{
	__u32 tid = read_member(typed, task, pid);
	struct start *start = find_start(tid);

	if (!start || !start->time_ns || start->note != (__u64)number)
		return false;
	*took_ns = bpf_ktime_get_ns() - start->time_ns;
	start->time_ns = 0;
	return true;
}

static __always_inline int handle_exit(bool typed, struct task_struct *task, struct pt_regs *regs, long result)
{
	bool failed = result < 0 && result >= -MAX_ERRNO;
	long number = syscall_number(typed, regs);
	struct syscount_cell *cell;
	struct moment now;
	__u64 took_ns = 0, id;

	if (config.latency && !take_start(typed, task, number, &took_ns))
		return 0;
	now = see();
	if (config.failed_only && !failed)
		return count(now, SWTRACE_FILTERED);
	if (config.error && result != -(long)config.error)
		return count(now, SWTRACE_FILTERED);
	if (!filter_task(typed, task))
		return count(now, SWTRACE_FILTERED);

	id = id_of(typed, task, number);
	cell = cell_of(now, id, !result && (number == SYSCALL_EXECVE || number == SYSCALL_EXECVEAT));
	if (!cell)
		return count(now, SWTRACE_LOST_MAP_FULL);
	if (config.latency && !add_latency(now, cell, id, took_ns))
		return count(now, SWTRACE_LOST_MAP_FULL);
	__sync_fetch_and_add(&cell->count, 1);
	if (failed)
		__sync_fetch_and_add(&cell->errors, 1);
	return count(now, SWTRACE_DELIVERED);
}

static __always_inline int handle_enter(bool typed, struct task_struct *task, long number)
{
	if (filter_task(typed, task))
		set_start(read_member(typed, task, pid), bpf_ktime_get_ns(), number);
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit_btf, struct pt_regs *regs, long result) { return handle_exit(true, bpf_get_current_task_btf(), regs, result); }

/* Also for kernels before 5.11, which have no typed pointer to the current task. */
SEC("raw_tp/sys_exit")
int BPF_PROG(exit_raw, struct pt_regs *regs, long result) { return handle_exit(false, (void *)bpf_get_current_task(), regs, result); }

SEC("tp_btf/sys_enter")
int BPF_PROG(enter_btf, struct pt_regs *regs, long number) { return handle_enter(true, bpf_get_current_task_btf(), number); }

SEC("raw_tp/sys_enter")
int BPF_PROG(enter_raw, struct pt_regs *regs, long number) { return handle_enter(false, (void *)bpf_get_current_task(), number); }

SEC("tp_btf/sched_process_exit")
int BPF_PROG(end_btf, struct task_struct *task)
{
	forget_start(task->pid);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int BPF_PROG(end_raw, struct task_struct *task)
{
	forget_start(BPF_CORE_READ(task, pid));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
