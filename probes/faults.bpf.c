// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* faults: how many page faults, major and minor.
 *
 * Hooks: the kernel's own counters of both kinds as perf events of period 1, on each processor. They run in the task that faulted, once for
 * each fault that was resolved; the tracepoints of page faults run for each attempt and do not tell the kinds apart.
 */
#include "kernel.h"
#include "faults.h"
#include "filter.bpf.h"
#include "loss.bpf.h"

SEC(".rodata.config") const volatile struct faults_config config = {};

/* 1 MB with 8192 keys, of two intervals. Sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct faults_key);
	__type(value, struct faults_cell);
} cells SEC(".maps");

static __always_inline int handle_fault(bool is_major)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct moment now = see();
	struct faults_key key = { .copy = now.copy };
	struct faults_cell *cell;

	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	switch (config.by) {
	case FAULTS_BY_PROCESS:
		key.id = bpf_get_current_pid_tgid() >> 32;
		break;
	case FAULTS_BY_THREAD:
		key.id = (__u32)bpf_get_current_pid_tgid();
		break;
	case FAULTS_BY_COMM:
		bpf_get_current_comm(key.comm, sizeof(key.comm));
		break;
	case FAULTS_BY_CGROUP:
		key.id = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
		break;
	}
	cell = bpf_map_lookup_elem(&cells, &key);
	if (!cell) {
		struct faults_cell empty = {};

		/* Another processor may have made it meanwhile: that is as good. */
		bpf_map_update_elem(&cells, &key, &empty, BPF_NOEXIST);
		cell = bpf_map_lookup_elem(&cells, &key);
		if (!cell)
			return count(now, SWTRACE_LOST_MAP_FULL);
	}
	/* Each time, because a task may have been renamed, as every new program is. */
	if (config.by == FAULTS_BY_PROCESS)
		BPF_CORE_READ_INTO(&cell->comm, task, group_leader, comm);
	if (config.by == FAULTS_BY_THREAD)
		bpf_get_current_comm(cell->comm, sizeof(cell->comm));
	if (is_major)
		__sync_fetch_and_add(&cell->major, 1);
	else
		__sync_fetch_and_add(&cell->minor, 1);
	return count(now, SWTRACE_DELIVERED);
}

SEC("perf_event")
int major(struct bpf_perf_event_data *ctx) { return handle_fault(true); }

SEC("perf_event")
int minor(struct bpf_perf_event_data *ctx) { return handle_fault(false); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
