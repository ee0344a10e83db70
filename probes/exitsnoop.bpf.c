// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* exitsnoop: one event for each process that ends, or for each thread.
 *
 * Hook: sched_process_exit, which runs in the exiting thread. A process ends with its last thread, which need not be the first one
 * that was started. Newer kernels say which thread is the last; on others it is one that finds no thread alive, and because
 * several may find that when they exit at once, the first of them to note it reports.
 */
#include "kernel.h"
#include "exitsnoop.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"

SEC(".rodata.config") const volatile struct exitsnoop_config config = {};

#define SIGNAL_GROUP_EXIT 4             /* include/linux/sched/signal.h: group_exit_code is valid */

/* A process that is never another one: ids come again, together with the start they do not. */
struct process {
	__u64 started_ns;
	__u32 pid;
	__u32 reserved;
};

/* Processes that have been reported. Forgetting old ones is right: all their threads are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process);
	__type(value, __u8);
} reported SEC(".maps");

enum last { LAST_NO, LAST_YES, LAST_ASK };

/* Whether the process is over and this thread is the one to say so; counts LOST_MAP_FULL when that cannot be known. */
static __always_inline bool is_last(bool typed, struct signal_struct *signal, struct task_struct *leader)
{
	struct process process = {};
	__u8 one = 1;
	/* Not a long: older kernels leave the upper half of a helper's result as the function left it. */
	int error;

	if (read_member(typed, signal, live.counter))
		return false;
	process.started_ns = read_member(typed, leader, start_boottime);
	process.pid = read_member(typed, leader, tgid);
	error = bpf_map_update_elem(&reported, &process, &one, BPF_NOEXIST);
	if (error && error != -17)      /* EEXIST: another thread has reported it */
		count(see(), SWTRACE_LOST_MAP_FULL);
	return !error;
}

static __always_inline int handle_exit(bool typed, struct task_struct *task, enum last last)
{
	struct signal_struct *signal = read_member(typed, task, signal);
	struct task_struct *leader = read_member(typed, task, group_leader);
	struct exitsnoop_event *event;
	struct moment now;
	int status;

	if (!config.threads && (last == LAST_NO || (last == LAST_ASK && !is_last(typed, signal, leader))))
		return 0;
	if (!config.threads)
		task = leader;

	now = see();
	/* Without a flag for the group, the parent is told what the first thread ended with. */
	status = read_member(typed, task, exit_code);
	if (!config.threads && read_member(typed, signal, flags) & SIGNAL_GROUP_EXIT)
		status = read_member(typed, signal, group_exit_code);
	if (config.failed_only && !status)
		return count(now, SWTRACE_FILTERED);
	if (!filter_task(typed, task))
		return count(now, SWTRACE_FILTERED);
	event = reserve_event(now, sizeof(*event));
	if (!event)
		return 0;
	event->time_ns = bpf_ktime_get_ns();
	event->age_ns = bpf_ktime_get_boot_ns() - read_member(typed, task, start_boottime);
	event->pid = read_member(typed, task, tgid);
	event->tid = read_member(typed, task, pid);
	event->parent_pid = BPF_CORE_READ(task, real_parent, tgid);
	event->uid = BPF_CORE_READ(task, cred, uid.val);
	event->status = status;
	event->reserved = 0;
	BPF_CORE_READ_INTO(&event->comm, task, comm);
	return submit_event(now, event, sizeof(*event));
}

/* The second argument exists since 6.16; elsewhere the verifier refuses this program. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_last_btf, struct task_struct *task, bool group_dead)
{
	return handle_exit(true, task, group_dead ? LAST_YES : LAST_NO);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(exit_btf, struct task_struct *task) { return handle_exit(true, task, LAST_ASK); }

SEC("raw_tp/sched_process_exit")
int BPF_PROG(exit_raw, struct task_struct *task) { return handle_exit(false, task, LAST_ASK); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
