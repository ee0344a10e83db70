// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* What a walk in the kernel reads: the memory of the process, its mappings, and the rules that user space has made.
 *
 * Stands for what unwind_step.h leaves open, but for the running task of Swift (unwind_task.bpf.h). */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "unwind_step.h"
#define STACK_SLOTS 512
#define STACK_WINDOW 64                 /* words */
#define STACK_REGISTERS (sizeof(struct user_registers) / sizeof(__u64))
#define STACK_REST_BYTES (sizeof(struct swtrace_stack_rest) + SWTRACE_REST_PAGES * 4096)
#include "stack.bpf.h"

/* Key and value sizes as numbers: of a struct as an inner map's value clang emits a declaration only. */
struct unwind_pool_shard {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWTRACE_POOL_PAGES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, 4);
	__uint(value_size, SWTRACE_POOL_PAGE);
};

struct unwind_index_shard {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWTRACE_INDEX_SHARD);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(key_size, 4);
	__uint(value_size, 8);
};

/* Filled by user space, shard by shard, as tables are made. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SWTRACE_SHARDS);
	__type(key, __u32);
	__array(values, struct unwind_pool_shard);
} unwind_pool SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SWTRACE_SHARDS);
	__type(key, __u32);
	__array(values, struct unwind_index_shard);
} unwind_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SWTRACE_RULES);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct swtrace_unwind_rule);
} unwind_rules SEC(".maps");

/* The processes whose mappings are in the pool. Preallocated: kernel 5.10 refuses other hashes to programs of perf events. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct swtrace_unwind_process);
} unwind_processes SEC(".maps");

static __always_inline void *pool_page(__u32 page)
{
	__u32 shard_number = page / SWTRACE_POOL_PAGES, place = page % SWTRACE_POOL_PAGES;
	void *shard = bpf_map_lookup_elem(&unwind_pool, &shard_number);

	return shard ? bpf_map_lookup_elem(shard, &place) : NULL;
}

static __always_inline long unwind_read(struct swtrace_unwinder *st, void *to, __u32 size, __u64 from)
{
	return bpf_probe_read_user(to, size, (void *)from);
}

/* Frames are small, and one read costs more than some hundred bytes: what lies next to the words is read with them. */
static __always_inline long unwind_read_pair(struct swtrace_unwinder *st, __u64 *to, __u64 from, int upward)
{
	struct stack_room *room = container_of(st, struct stack_room, unwinder);
	__u64 last = sizeof(room->window) - 2 * sizeof(*to);    /* where a pair can begin */
	__u64 place = from - st->window;

	if (!st->window || place > last || place % sizeof(*to)) {
		/* What a frame keeps is above its stack pointer. */
		place = !upward ? last : from - st->sp < last ? from - st->sp : 0;
		place -= place % sizeof(*to);
		st->window = from - place;
		if (bpf_probe_read_user(room->window, sizeof(room->window), (void *)st->window)) {
			/* Near the end of what is mapped. */
			st->window = 0;
			return unwind_read(st, to, 2 * sizeof(*to), from);
		}
	}
	place /= sizeof(*to);
	to[0] = room->window[place & (STACK_WINDOW - 1)];
	to[1] = room->window[(place + 1) & (STACK_WINDOW - 1)];
	return 0;
}

static __always_inline void unwind_keep(struct swtrace_unwinder *st, __u32 index, __u64 address)
{
	struct stack_room *room = container_of(st, struct stack_room, unwinder);

	room->addresses[(st->first + index) & (STACK_SLOTS - 1)] = address;
}

/* What tells the address spaces of a process from each other: where its stack begins, which the kernel chooses by chance for each program. */
static __always_inline __u64 current_memory(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, mm, start_stack);
}

/* Where the mappings of the process that runs are; SWTRACE_NO_PAGE too when they are those of another program. */
static __always_inline __u32 mappings_of(__u32 process)
{
	struct swtrace_unwind_process *known = bpf_map_lookup_elem(&unwind_processes, &process);

	return known && (!known->memory || known->memory == current_memory()) ? known->page : SWTRACE_NO_PAGE;
}

/* The members of struct user_registers, four bits for each DWARF number (System V ABI, figure 3.36) from the lowest on. The stack pointer is
 * not among them. */
#define REGISTERS_BY_NUMBER 0x01236789f4ed5bcaull

static __always_inline long unwind_register(struct swtrace_unwinder *st, __u8 number, __u64 *to)
{
	struct stack_room *room = container_of(st, struct stack_room, unwinder);

	if (number > 15 || number == 7)
		return -1;
	*to = room->registers[REGISTERS_BY_NUMBER >> 4 * number & 15];
	return 0;
}

static __always_inline bool find_mapping(struct swtrace_unwinder *st, __u64 ip)
{
	struct swtrace_mapping *page = pool_page(st->page), *found;

	if (!page) {
		unwind_stop(st, SWTRACE_END_NO_PROCESS);
		return false;
	}
	found = &page[unwind_search_mappings(page, ip)];
	if (!found->pages && found->start <= ip) {
		/* A process with more mappings than a page holds has pages of pages. */
		page = pool_page(found->base);
		if (!page) {
			unwind_stop(st, SWTRACE_END_NO_PROCESS);
			return false;
		}
		found = &page[unwind_search_mappings(page, ip)];
	}
	st->start = found->start;
	st->end = found->start + ((__u64)found->pages << 8);
	st->base = found->base;
	if (ip >= st->start && ip < st->end)
		return true;
	unwind_stop(st, SWTRACE_END_NO_MAPPING);
	return false;
}

static __always_inline const struct swtrace_unwind_rule *unwind_rule(struct swtrace_unwinder *st, __u64 ip)
{
	__u32 entry, shard_number, place, count, number;
	const struct swtrace_unwind_rule *rule;
	void *shard, *page;
	__u64 *index;

	/* The kernel's own halves of the address space are above; the search needs numbers below 2^63. */
	if ((__s64)ip < 0) {
		unwind_stop(st, SWTRACE_END_NO_MAPPING);
		return NULL;
	}
	if ((ip < st->start || ip >= st->end) && !find_mapping(st, ip))
		return NULL;
	if (st->base == SWTRACE_BASE_NONE) {
		number = 0;
		return bpf_map_lookup_elem(&unwind_rules, &number);
	}
	entry = st->base + (__u32)((ip - st->start) >> 8);
	shard_number = entry / SWTRACE_INDEX_SHARD;
	place = entry % SWTRACE_INDEX_SHARD;
	shard = st->base == SWTRACE_BASE_PENDING ? NULL : bpf_map_lookup_elem(&unwind_index, &shard_number);
	index = shard ? bpf_map_lookup_elem(shard, &place) : NULL;
	if (!index)
		goto missing;
	number = *index >> 48;
	count = (*index >> 32) & 0xffff;
	if (count) {
		__u32 slot = *index;

		page = pool_page(slot / SWTRACE_ROWS_PER_PAGE);
		if (!page)
			goto missing;
		number = unwind_search_rows(page, slot, count, number, ip);
	}
	rule = bpf_map_lookup_elem(&unwind_rules, &number);
	if (rule)
		return rule;
missing:
	unwind_stop(st, SWTRACE_END_NO_TABLE);
	return NULL;
}
