// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Stacks, streamed with their events.
 *
 * User space counts equal ones. A map of stacks in the kernel would lose the hottest ones to collisions when it fills, and its
 * memory would have to be sized for the worst machine.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "stack.h"
#include "unwind.h"

SEC(".rodata.stack") const volatile struct swtrace_stack_config stack_config = { .kernel = 1, .user = 1, .async = 1 };

#define STACK_BYTES (SWTRACE_STACK_DEPTH * sizeof(__u64))

/* unwind.bpf.h, included before, needs more room. */
#ifndef STACK_SLOTS
#define STACK_SLOTS (4 * (SWTRACE_STACK_DEPTH + 1))
#define STACK_REST_BYTES 0
#define STACK_WINDOW 0
#define STACK_REGISTERS 0
#endif

struct stack_room {
	struct swtrace_unwinder unwinder;
	__u64 copies_second;            /* when `copies` was begun, in units of 2^30 ns */
	__u64 copies;
	__u64 is_urgent;                /* user space shall be woken for the event */
	__u64 task_thread;              /* the thread pointer of the one whose task_variable is known */
	__u64 task_page;                /* of its process's mappings then */
	__u64 task_variable;            /* where that thread has the address of its Swift task, or 0 */
	__u64 task_size;
	__u64 registers[STACK_REGISTERS];       /* struct user_registers, where the walk begins */
	__u64 window[STACK_WINDOW];     /* what has been read of the user stack, from unwinder.window on */
	struct swtrace_stack_event event;
	__u64 addresses[STACK_SLOTS];
	__u8 rest[STACK_REST_BYTES];
};

/* Two for each processor: hooks of which one may interrupt the other use different ones. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct stack_room);
} stack_rooms SEC(".maps");

#define PF_IO_WORKER 0x00000010         /* of io_uring; never runs user code */
#define PF_KTHREAD 0x00200000           /* may borrow a process's memory for a time */

/* Whether a task has user code to return to; one that exits has none as soon as its memory is gone. */
static __always_inline bool has_user_stack(bool typed, struct task_struct *task)
{
	return !(read_member(typed, task, flags) & (PF_KTHREAD | PF_IO_WORKER)) && read_member(typed, task, mm);
}

/* Working memory for one event, or null. */
static __always_inline struct stack_room *empty_room(__u32 which)
{
	struct stack_room *room = bpf_map_lookup_elem(&stack_rooms, &which);

	if (!room)
		return NULL;
	room->is_urgent = false;
	room->event.kernel_frames = 0;
	room->event.user_frames = 0;
	room->event.kind = SWTRACE_STACK_WHOLE;
	room->event.is_in_kernel = 0;
	room->event.relation = SWTRACE_NO_PARTNER;
	room->event.profiles = 0;
	room->event.swift_task = 0;
	room->event.partner_kernel_frames = 0;
	room->event.partner_user_frames = 0;
	room->event.partner_pid = 0;
	room->event.ending = SWTRACE_END_UNKNOWN;
	room->event.async_at = SWTRACE_NO_ASYNC;
	room->event.async_frames = room->event.guessed = 0;
	return room;
}

/* The same; null after counting LOST_SCRATCH. */
static __always_inline struct stack_room *stack_room(struct moment now, __u32 which)
{
	struct stack_room *room = empty_room(which);

	if (!room)
		count(now, SWTRACE_LOST_SCRATCH);
	return room;
}

/* How many addresses a walk that gave so many frames has left. */
static __always_inline __u32 frames_of(__s32 frames)
{
	return frames > 0 ? frames : 0;
}

/* Notes the result of a walk that gave so many bytes, or a negative error. */
static __always_inline int stack_frames(struct moment now, long bytes, enum swtrace_counter missing)
{
	if (bytes > 0)
		return bytes / sizeof(__u64);
	count(now, missing);
	return bytes;
}

/* The kernel stack of the task that runs. */
static __always_inline void walk_kernel(struct moment now, void *ctx, struct stack_room *room)
{
	if (stack_config.kernel)
		room->event.kernel_frames =
			stack_frames(now, bpf_get_stack(ctx, room->addresses, STACK_BYTES, 0), SWTRACE_MISSING_KERNEL_STACK);
}

/* The user stack of the task that runs, after the kernel's part. */
static __always_inline void walk_user(struct moment now, void *ctx, struct stack_room *room)
{
	__u32 kernel = frames_of(room->event.kernel_frames);

	if (stack_config.user && kernel <= SWTRACE_STACK_DEPTH)
		room->event.user_frames = stack_frames(now, bpf_get_stack(ctx, &room->addresses[kernel], STACK_BYTES, BPF_F_USER_STACK),
						       SWTRACE_MISSING_USER_STACK);
}

/* The bytes of an event with the addresses that it has and so many bytes behind them; more than the room has for what cannot be. */
static __always_inline __u64 event_size(struct stack_room *room, __u32 rest)
{
	__u32 partner = frames_of(room->event.partner_kernel_frames) + frames_of(room->event.partner_user_frames);
	__u32 own = frames_of(room->event.kernel_frames) + frames_of(room->event.user_frames);
	__u64 size = sizeof(room->event) + ((__u64)partner + own + room->event.async_frames) * sizeof(__u64) + rest;

	/* The compiler must not derive the limit from elsewhere: the verifier wants to see it on this very value. */
	barrier_var(size);
	return size;
}

#define LARGEST_EVENT (sizeof(struct stack_room) - __builtin_offsetof(struct stack_room, event))

/* Sends the event with so many bytes behind its addresses. */
static __always_inline bool output_stack(struct stack_room *room, __u32 rest)
{
	__u64 size = event_size(room, rest);

	return size <= LARGEST_EVENT && !bpf_ringbuf_output(&events, &room->event, size, room->is_urgent ? BPF_RB_FORCE_WAKEUP : wake_flag(size));
}

/* The same. Counts DELIVERED or LOST_RING. */
static __always_inline int send_stack(struct moment now, struct stack_room *room, __u32 rest)
{
	return count(now, output_stack(room, rest) ? SWTRACE_DELIVERED : SWTRACE_LOST_RING);
}
