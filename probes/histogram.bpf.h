// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Adding a value to the histogram of all, or to the one of a key.
 *
 * The histogram of all is one per processor. Keyed ones are shared cells that exist only for slots with values: a per-processor
 * copy for each key would grow with the machine, and keys already keep processors apart. Keys with many values are given a row by user
 * space when an interval ends: a whole histogram, in one page, found without a hash table, whose pages are rarely in the caches.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "histogram.h"
#include "loss.bpf.h"

SEC(".rodata.histogram") const volatile struct swtrace_histogram_config histogram_config = { .unit = 1 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct swtrace_histogram);
} histograms SEC(".maps");

/* About 2 MB when keyed; one entry otherwise. Sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct swtrace_histogram_key);
	__type(value, struct swtrace_histogram_cell);
} histogram_cells SEC(".maps");

/* The keys that have a row, by swtrace_histogram_row(); 0 where there is none. Only user space writes. One entry where there are no rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} histogram_keys SEC(".maps");

/* Their rows: those of copy 0, then those of copy 1. 512 KB; one entry where there are no rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct swtrace_histogram);
} histogram_rows SEC(".maps");

static __always_inline int histogram_add_to(struct moment now, struct swtrace_histogram *histogram, __u64 value)
{
	__u32 slot = swtrace_slot(value / histogram_config.unit);

	if (!histogram || slot >= SWTRACE_SLOTS)
		return count(now, SWTRACE_LOST_SCRATCH);
	__sync_fetch_and_add(&histogram->slots[slot], 1);
	__sync_fetch_and_add(&histogram->sum, value);
	if (value > histogram->maximum)
		histogram->maximum = value;
	return count(now, SWTRACE_DELIVERED);
}

static __always_inline int histogram_add_keyed(struct moment now, __u64 key, __u64 value, struct task_struct *task)
{
	struct swtrace_histogram_key at = { .key = key, .slot = swtrace_slot(value / histogram_config.unit), .copy = now.copy };
	struct swtrace_histogram_cell *cell;
	__u32 row = swtrace_histogram_row(key);
	__u64 *owner = task ? NULL : bpf_map_lookup_elem(&histogram_keys, &row);

	if (owner && key && *owner == key) {
		row += now.copy * SWTRACE_HISTOGRAM_ROWS;
		return histogram_add_to(now, bpf_map_lookup_elem(&histogram_rows, &row), value);
	}
	cell = bpf_map_lookup_elem(&histogram_cells, &at);
	if (!cell) {
		struct swtrace_histogram_cell empty = {};

		/* Another processor may have made it meanwhile: that is as good. */
		bpf_map_update_elem(&histogram_cells, &at, &empty, BPF_NOEXIST);
		cell = bpf_map_lookup_elem(&histogram_cells, &at);
		if (!cell)
			return count(now, SWTRACE_LOST_MAP_FULL);
	}
	__sync_fetch_and_add(&cell->count, 1);
	__sync_fetch_and_add(&cell->sum, value);
	if (value > cell->maximum)
		cell->maximum = value;
	/* Each time, because a task may have been renamed, as a traced command is when it starts. */
	if (task)
		bpf_core_read_str(cell->comm, sizeof(cell->comm), &task->comm);
	return count(now, SWTRACE_DELIVERED);
}

/* Adds a value in nanoseconds. The key matters only when keyed; `task` names it, and may be null.
 * Counts DELIVERED or LOST_MAP_FULL. */
static __always_inline int histogram_add(struct moment now, __u64 key, __u64 value, struct task_struct *task)
{
	if (histogram_config.keyed)
		return histogram_add_keyed(now, key, value, task);
	return histogram_add_to(now, bpf_map_lookup_elem(&histograms, &now.copy), value);
}
