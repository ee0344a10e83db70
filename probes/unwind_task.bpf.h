// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The Swift task that a thread runs: where the runtime keeps it, and its number. */
#pragma once
#include "unwind_memory.bpf.h"

/* The pointer of a thread to its own variables, the base of the segment fs. The C library sets it once. */
static __always_inline __u64 thread_pointer(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread.fsbase);
}

/* Where the thread that runs has the address of its Swift task, or 0. */
static __always_inline __u64 task_variable(struct swtrace_unwinder *st, const struct swtrace_unwind_process *known, __u64 thread)
{
	__u64 place = thread, descriptor[2], blocks;

	if (known->task_place == SWTRACE_TASK_NONE)
		return 0;
	if (known->task_place == SWTRACE_TASK_IN_BLOCK) {
		/* The dynamic thread vector: two words for each module, the first where its block is (System V ABI for thread-local
		 * storage, 3; glibc's nptl/sysdeps/x86_64/tls.h: it is the second word behind the thread pointer). */
		if (unwind_read(st, descriptor, sizeof(descriptor), known->task_descriptor) ||
		    unwind_read(st, &blocks, sizeof(blocks), place + sizeof(__u64)) ||
		    unwind_read(st, &place, sizeof(place), blocks + descriptor[0] * 2 * sizeof(__u64)))
			return 0;
		/* 0 or -1: the thread has not used it yet. */
		if (place + 1 < 2)
			return 0;
		place += descriptor[1];
	}
	return place + known->task_offset;
}

static __always_inline long unwind_running_task(struct swtrace_unwinder *st)
{
	struct stack_room *room = container_of(st, struct stack_room, unwinder);
	__u64 thread = thread_pointer(), variable = room->task_variable;
	__u32 process = room->event.pid;

	if (st->page == SWTRACE_NO_PAGE)
		return 1;
	st->task_size = room->task_size;
	/* The place stays the same while a thread lives, and the way there is four reads and a look-up. */
	if (room->task_thread != thread || room->task_page != st->page) {
		struct swtrace_unwind_process *known = bpf_map_lookup_elem(&unwind_processes, &process);

		variable = known ? task_variable(st, known, thread) : 0;
		st->task_size = known ? known->task_size : 0;
	}
	if (!variable || unwind_read(st, &st->task, sizeof(st->task), variable) || !st->task)
		return 1;
	room->task_thread = thread;
	room->task_page = st->page;
	room->task_variable = variable;
	room->task_size = st->task_size;
	return 0;
}

/* Notes which Swift task runs. */
__noinline int unwind_task_step(__u32 which)
{
	struct stack_room *room = bpf_map_lookup_elem(&stack_rooms, &which);
	__u32 number;

	if (!room || unwind_running_task(&room->unwinder) ||
	    unwind_read(&room->unwinder, &number, sizeof(number), room->unwinder.task + TASK_NUMBER))
		return 1;
	room->event.swift_task = number;
	return 0;
}
