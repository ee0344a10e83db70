// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Testing the task that is measured, which need not be the one that runs.
 *
 * The tests are ordered by cost; those that were not asked for vanish, because the verifier knows the values.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "filter.h"
#include "loss.bpf.h"

SEC(".rodata.filter") const volatile struct swtrace_filter filter = {};

/* Process ids: the --pid list (or thread ids: the --tid list), or the traced command and its children. Sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8);
} targets SEC(".maps");

/* Reads a member of a kernel struct: directly where the pointer is typed for the verifier (tp_btf, fentry), else by copy.
 * `typed` must be a constant of the program variant. */
#define read_member(typed, pointer, member) \
	({ \
		typeof((pointer)->member) value_; \
		if (typed) \
			value_ = (pointer)->member; \
		else \
			value_ = BPF_CORE_READ(pointer, member); \
		value_; \
	})

static __always_inline bool is_target(__u32 pid)
{
	return bpf_map_lookup_elem(&targets, &pid) != NULL;
}

/* Whether a cgroup of the v2 hierarchy is the wanted one or lies below it. */
static __always_inline bool filter_cgroup(struct cgroup *group)
{
	int level = BPF_CORE_READ(group, level);

	/* 16 levels are more than any system nests; deeper ones are compared at the top 16. */
	for (int i = 0; i < 16 && i <= level; i++) {
		__u64 id = 0;

		if (bpf_core_field_exists(group->ancestors)) {
			struct cgroup *ancestor = NULL;

			bpf_core_read(&ancestor, sizeof(ancestor), &group->ancestors[i]);
			id = BPF_CORE_READ(ancestor, kn, id);
		} else {
			struct cgroup___before_6_1 *old = (void *)group;

			bpf_core_read(&id, sizeof(id), &old->ancestor_ids[i]);
		}
		if (id == filter.cgroup_id)
			return true;
	}
	return false;
}

/* Whether a name is exactly the wanted one. */
static __always_inline bool filter_comm(const char *comm)
{
	for (int i = 0; i < SWTRACE_COMM_LENGTH; i++) {
		if (comm[i] != filter.comm[i])
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

static __always_inline bool filter_ids(__u32 pid, __u32 tid)
{
	if (filter.pid && pid != filter.pid)
		return false;
	if (filter.tid && tid != filter.tid)
		return false;
	if (filter.excluded_pid && pid == filter.excluded_pid)
		return false;
	return !filter.has_targets || is_target(filter.targets_are_threads ? tid : pid);
}

/* Whether any task matches; `typed` as for read_member(). */
static __always_inline bool filter_task(bool typed, struct task_struct *task)
{
	if ((filter.pid || filter.tid || filter.excluded_pid || filter.has_targets) &&
	    !filter_ids(read_member(typed, task, tgid), read_member(typed, task, pid)))
		return false;
	if (filter.has_uid && BPF_CORE_READ(task, cred, uid.val) != filter.uid)
		return false;
	if (filter.has_comm) {
		char comm[SWTRACE_COMM_LENGTH];

		BPF_CORE_READ_INTO(&comm, task, comm);
		if (!filter_comm(comm))
			return false;
	}
	return !filter.cgroup_id || filter_cgroup(BPF_CORE_READ(task, cgroups, dfl_cgrp));
}

/* Whether the task that runs now matches. Only for hooks that run on behalf of it. */
static __always_inline bool filter_current(void)
{
	__u64 ids = bpf_get_current_pid_tgid();

	if (!filter_ids(ids >> 32, (__u32)ids))
		return false;
	if (filter.has_uid && (__u32)bpf_get_current_uid_gid() != filter.uid)
		return false;
	if (filter.has_comm) {
		char comm[SWTRACE_COMM_LENGTH];

		bpf_get_current_comm(comm, sizeof(comm));
		if (!filter_comm(comm))
			return false;
	}
	return !filter.cgroup_id || filter_cgroup(BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), cgroups, dfl_cgrp));
}

/* A child of a traced process is traced. Threads share the process's id. */
static __always_inline int follow_fork(struct task_struct *parent, struct task_struct *child)
{
	__u32 child_pid = BPF_CORE_READ(child, tgid);
	__u8 one = 1;

	if (child_pid == (__u32)BPF_CORE_READ(child, pid) && is_target(BPF_CORE_READ(parent, tgid)) &&
	    bpf_map_update_elem(&targets, &child_pid, &one, BPF_ANY))
		remark(SWTRACE_UNFOLLOWED);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(follow_fork_btf, struct task_struct *parent, struct task_struct *child) { return follow_fork(parent, child); }

SEC("raw_tp/sched_process_fork")
int BPF_PROG(follow_fork_raw, struct task_struct *parent, struct task_struct *child) { return follow_fork(parent, child); }

/* Not sched_process_exit: other programs at that hook still ask whether the task is a target. */
static __always_inline int follow_free(struct task_struct *task)
{
	__u32 pid = BPF_CORE_READ(task, tgid);

	if (pid == (__u32)BPF_CORE_READ(task, pid))
		bpf_map_delete_elem(&targets, &pid);
	return 0;
}

SEC("tp_btf/sched_process_free")
int BPF_PROG(follow_free_btf, struct task_struct *task) { return follow_free(task); }

SEC("raw_tp/sched_process_free")
int BPF_PROG(follow_free_raw, struct task_struct *task) { return follow_free(task); }
