// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* oomkill: one event for each process that the kernel chose because memory ran out.
 *
 * Hooks: mark_victim, in the task that needed memory; signal_generate before it, for the kernel's SIGKILL, which those victims do not get
 * that were ending anyway; the entry of oom_kill_process, where the kernel lets programs run there, for the scope.
 *
 * The kernel holds oom_lock from the entry to the mark, so there is one such process at a time, and the victim's memory until it is marked.
 */
#include "kernel.h"
#include "oomkill.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"

#define SIGKILL 9
#define SEND_SIG_PRIV 1                 /* include/linux/sched/signal.h: instead of a pointer, for signals from the kernel */
#define CGROUP_DEPTH 32                 /* deeper paths count as cut */
#define CGROUP_NAME 256                 /* NAME_MAX and its zero */

/* On older kernels (5.10) this tracepoint has the victim's number only; the change went into some of them (6.1) later. Types are compared by
 * their parameters, of which the first is the tracepoint's own. */
typedef void (*btf_trace_mark_victim___of_number)(void *, int);

/* To whom a task sent the kernel's SIGKILL last. Such signals are rare, and the mark follows at once: forgetting old ones is right. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} killed SEC(".maps");

/* The process that is being chosen now. */
struct choice {
	__u64 victim;
	__u64 scope_pages;
	__u32 tid;                      /* of the task that needs memory */
	__u32 scope;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct choice);
} choices SEC(".maps");

struct room {
	struct oomkill_event event;
	char names[OOMKILL_PATH + CGROUP_NAME];
};

/* Too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

static __always_inline int handle_choice(struct oom_control *control)
{
	struct choice choice = {
		.victim = (__u64)BPF_CORE_READ(control, chosen),
		.scope_pages = BPF_CORE_READ(control, totalpages),
		.tid = (__u32)bpf_get_current_pid_tgid(),
		.scope = BPF_CORE_READ(control, constraint) + 1,
	};
	__u32 zero = 0;

	bpf_map_update_elem(&choices, &zero, &choice, BPF_ANY);
	return 0;
}

static __always_inline int handle_signal(int signal, __u64 information, struct task_struct *task)
{
	__u32 sender = (__u32)bpf_get_current_pid_tgid();
	__u64 victim = (__u64)task;

	if (signal == SIGKILL && information == SEND_SIG_PRIV)
		bpf_map_update_elem(&killed, &sender, &victim, BPF_ANY);
	return 0;
}

/* Pages of a kind in memory. The kind must be a constant: the size of a counter is the kernel's. What processors have not added up yet can
 * make the number negative. */
#define pages_of(memory, kind) \
	({ \
		struct mm_struct___before_6_2 *old_ = (void *)(memory); \
		__s64 pages_ = 0; \
		if (bpf_core_field_exists(old_->rss_stat.count)) \
			bpf_core_read(&pages_, sizeof(pages_), &old_->rss_stat.count[kind].counter); \
		else \
			bpf_core_read(&pages_, sizeof(pages_), &(memory)->rss_stat[kind].count); \
		pages_ < 0 ? 0 : pages_; \
	})

/* The names of a task's memory cgroup. */
static __always_inline void read_path(struct moment now, struct room *room, struct task_struct *task)
{
	struct cgroup_subsys_state *state = NULL;
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct kernfs_node *node, *parent;
	__u32 length = 0;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return;
	bpf_core_read(&state, sizeof(state), &set->subsys[bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)]);
	node = BPF_CORE_READ(state, cgroup, kn);
	/* Unrolled: kernel 5.10 refuses loops whose end stands before their beginning, as the compiler likes to place them. */
#pragma unroll
	for (int i = 0; i <= CGROUP_DEPTH; i++) {
		struct kernfs_node___before_6_15 *old = (void *)node;
		long size;

		if (!node)
			break;
		parent = bpf_core_field_exists(old->parent) ? BPF_CORE_READ(old, parent) : BPF_CORE_READ(node, __parent);
		if (!parent) {
			room->event.has_path = 1;
			break;
		}
		if (i == CGROUP_DEPTH || length >= OOMKILL_PATH)
			break;
		size = bpf_probe_read_kernel_str(&room->names[length & (OOMKILL_PATH - 1)], CGROUP_NAME, BPF_CORE_READ(node, name));
		if (size <= 0)
			break;
		length += size;
		node = parent;
	}
	if (!room->event.has_path)
		count(now, SWTRACE_TRUNCATED_TEXT);
	room->event.path_length = length;
}

static __always_inline void describe(struct moment now, struct room *room, struct task_struct *task)
{
	struct mm_struct *memory = BPF_CORE_READ(task, mm);
	struct oomkill_event *event = &room->event;

	event->is_known = 1;
	event->pid = BPF_CORE_READ(task, tgid);
	event->tid = BPF_CORE_READ(task, pid);
	event->uid = BPF_CORE_READ(task, cred, uid.val);
	event->score_adjustment = BPF_CORE_READ(task, signal, oom_score_adj);
	BPF_CORE_READ_INTO(&event->comm, task, group_leader, comm);
	event->virtual_pages = BPF_CORE_READ(memory, total_vm);
	event->file_pages = pages_of(memory, 0);
	event->anonymous_pages = pages_of(memory, 1);
	event->shared_pages = pages_of(memory, 3);
	event->table_bytes = BPF_CORE_READ(memory, pgtables_bytes.counter);
	read_path(now, room, task);
}

/* `task` is null where the kernel tells only its thread id. */
static __always_inline int handle_mark(struct task_struct *task, __u32 tid)
{
	__u64 ids = bpf_get_current_pid_tgid(), length, *victim;
	__u32 zero = 0, self = (__u32)ids;
	struct choice *last = bpf_map_lookup_elem(&choices, &zero), choice = {};
	struct room *room = bpf_map_lookup_elem(&rooms, &zero);
	struct task_struct *known = NULL, *chosen, *current = (void *)bpf_get_current_task();
	struct moment now = see();
	bool was_dying = true;

	victim = bpf_map_lookup_elem(&killed, &self);
	if (victim)
		known = (struct task_struct *)*victim;
	if (known && (task ? known == task : (__u32)BPF_CORE_READ(known, pid) == tid)) {
		was_dying = false;
		task = known;
	}
	bpf_map_delete_elem(&killed, &self);
	if (last && last->tid == self)
		choice = *last;
	chosen = (struct task_struct *)choice.victim;
	if (!task && chosen && (__u32)BPF_CORE_READ(chosen, pid) == tid)
		task = chosen;
	if (!task && tid == self)
		task = current;
	/* One that was ending and asked for memory itself was not chosen: what was chosen here before has nothing to do with it. */
	if (was_dying && chosen != task)
		choice.scope = OOMKILL_UNKNOWN;

	if (task ? !filter_task(false, task) : filter.has_uid || filter.has_comm || filter.cgroup_id || !filter_ids(tid, tid))
		return count(now, SWTRACE_FILTERED);
	if (!room)
		return count(now, SWTRACE_LOST_SCRATCH);
	__builtin_memset(&room->event, 0, sizeof(room->event));
	room->event.time_ns = bpf_ktime_get_ns();
	room->event.tid = tid;
	room->event.was_dying = was_dying;
	room->event.trigger_pid = ids >> 32;
	room->event.trigger_tid = self;
	bpf_core_read_str(room->event.trigger_comm, sizeof(room->event.trigger_comm), &current->comm);
	room->event.scope = choice.scope;
	room->event.scope_pages = choice.scope ? choice.scope_pages : 0;
	if (task)
		describe(now, room, task);
	/* For the verifier, which does not know how long it can be. */
	length = room->event.path_length;
	if (length > sizeof(room->names))
		length = 0;
	return send_event(now, room, sizeof(room->event) + length);
}

static __always_inline int handle_mark_context(__u64 *context)
{
	if (bpf_core_type_exists(btf_trace_mark_victim___of_number))
		return handle_mark(NULL, (__u32)context[0]);
	return handle_mark((struct task_struct *)context[0], 0);
}

SEC("tp_btf/mark_victim")
int mark_btf(__u64 *context) { return handle_mark_context(context); }

SEC("raw_tp/mark_victim")
int mark_raw(__u64 *context) { return handle_mark_context(context); }

SEC("tp_btf/signal_generate")
int signal_btf(__u64 *context) { return handle_signal((int)context[0], context[1], (struct task_struct *)context[2]); }

SEC("raw_tp/signal_generate")
int signal_raw(__u64 *context) { return handle_signal((int)context[0], context[1], (struct task_struct *)context[2]); }

SEC("fentry/oom_kill_process")
int BPF_PROG(choice_fentry, struct oom_control *control) { return handle_choice(control); }

SEC("kprobe/oom_kill_process")
int BPF_KPROBE(choice_kprobe, struct oom_control *control) { return handle_choice(control); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
