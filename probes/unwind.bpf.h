// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* User stacks of code without frame pointers, walked in the kernel by rules that user space has made of .eh_frame.
 *
 * Needs a program of a tool whose events are stacks: it keeps the frames in that tool's stack_room. The step is a global
 * function: the verifier looks at it once, not for each of 255 frames, which needs no bpf_loop() (5.17) and no tail calls.
 */
#pragma once
#include "unwind_memory.bpf.h"
#include "unwind_task.bpf.h"

/* So many frames in one call of what follows. The verifier follows what comes of each with what comes of the next: on 6.18 a sample's program
 * takes it 130,000 instructions with two, and 645,000 with four. */
#define FRAMES_A_STEP 2

/* Some frames of the walk in a room; not 0 at its end. Global, see above. */
__noinline int unwind_step(__u32 which)
{
	struct stack_room *room = bpf_map_lookup_elem(&stack_rooms, &which);

	if (!room)
		return 1;
	for (int i = 0; i < FRAMES_A_STEP; i++)
		if (unwind_frame(&room->unwinder))
			return 1;
	return 0;
}

/* Some awaiting functions. */
__noinline int unwind_async_step(__u32 which)
{
	struct stack_room *room = bpf_map_lookup_elem(&stack_rooms, &which);

	if (!room)
		return 1;
	for (int i = 0; i < FRAMES_A_STEP; i++)
		if (unwind_async_frame(&room->unwinder))
			return unwind_parent_task(&room->unwinder);
	return 0;
}

/* Some frames by frame pointers only, where the rules are missing. */
__noinline int unwind_guess_step(__u32 which)
{
	struct stack_room *room = bpf_map_lookup_elem(&stack_rooms, &which);

	if (!room)
		return 1;
	for (int i = 0; i < FRAMES_A_STEP; i++)
		if (unwind_guessed_frame(&room->unwinder))
			return 1;
	return 0;
}

/* The user registers of the task that runs, while it is in the kernel; false where they are not to be had. */
static __always_inline bool read_user_registers(struct stack_room *room)
{
	struct user_registers *regs = (void *)room->registers;
	void *from;

	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_task_pt_regs)) {
		from = (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	} else {
		/* Before 5.15 they are at the end of the stack, of four pages. */
		struct task_struct *task = (void *)bpf_get_current_task();

		from = BPF_CORE_READ(task, stack) + 4 * 4096 - sizeof(*regs);
	}
	return !bpf_probe_read_kernel(regs, sizeof(*regs), from);
}

/* Whether the ring has room for a copy of a stack: the last eighth is for the events themselves. */
static __always_inline bool has_room_for_copy(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) + STACK_REST_BYTES <= bpf_ringbuf_query(&events, BPF_RB_RING_SIZE) / 8 * 7;
}

/* Whether one more event that lacks rules is within the limit of a second. User space is woken for a process that it does not know: the
 * next events need the answer. */
static __always_inline bool ask_for_rules(struct stack_room *room)
{
	__u64 second = bpf_ktime_get_ns() >> 30;

	if (room->copies_second != second) {
		room->copies_second = second;
		room->copies = 0;
	}
	if (room->copies++ >= SWTRACE_COPIES_A_SECOND)
		return false;
	room->is_urgent = room->unwinder.ending == SWTRACE_END_NO_PROCESS;
	return true;
}

/* Puts the rest of the stack behind the addresses, from where the walk has stopped; returns its bytes. */
static __always_inline __u32 copy_stack(struct stack_room *room, __u32 slots)
{
	struct swtrace_stack_rest *rest = (void *)&room->addresses[slots & (STACK_SLOTS - 1)];
	__u64 from = room->unwinder.sp, bytes = 0;

	rest->ip = room->unwinder.ip;
	rest->sp = from;
	rest->bp = room->unwinder.bp;
	rest->r14 = room->unwinder.r14;
	rest->memory = current_memory();
	rest->is_leaf = room->unwinder.is_leaf;
	/* Up to the ends of pages, so that one that is not in memory costs no more than itself. */
	for (int piece = 0; piece < SWTRACE_REST_PAGES; piece++) {
		__u64 length = 4096 - (from & 4095);

		if (bytes > (SWTRACE_REST_PAGES - 1) * 4096ull || bpf_probe_read_user((void *)(rest + 1) + bytes, length, (void *)from))
			break;
		from += length;
		bytes += length;
	}
	rest->count = bytes;
	return sizeof(*rest) + bytes;
}

/* The code segment of 32-bit programs (arch/x86/include/asm/segment.h, __USER32_CS), whose stacks have other rules. */
#define CODE_SEGMENT_32 0x23

/* Walks a stack from the registers in the room; its frames go to the addresses from `first` on. Returns their number. */
static __always_inline __u32 unwind(struct stack_room *room, __u32 which, __u32 process, __u32 first)
{
	const struct user_registers *regs = (void *)room->registers;
	struct swtrace_unwinder *st = &room->unwinder;

	st->ip = regs->ip;
	st->sp = regs->sp;
	st->bp = regs->bp & ~ASYNC_FRAME_BIT;
	st->r14 = regs->r14;
	st->start = st->end = st->context = st->window = st->task = 0;
	st->page = mappings_of(process);
	st->first = first;
	st->count = st->async_count = st->guessed = 0;
	st->is_leaf = 1;
	st->async_at = SWTRACE_NO_ASYNC;
	st->ending = SWTRACE_END_UNREADABLE;
	/* One more than there can be frames: the step that finds the limit says so. */
	for (int i = 0; i < SWTRACE_UNWIND_DEPTH / FRAMES_A_STEP + 1; i++)
		if (unwind_step(which))
			break;
	return st->count;
}

/* Whether the walk has stopped because user space has not said yet how to go on. */
static __always_inline bool lacks_rules(struct stack_room *room)
{
	return room->unwinder.ending >= SWTRACE_END_NO_PROCESS && room->unwinder.ending <= SWTRACE_END_NO_TABLE;
}

/* The user stack of the task that runs, after the kernel's part, by the rules of its code. Returns the bytes that follow the addresses. */
static __always_inline __u32 unwind_user(struct moment now, void *ctx, struct stack_room *room, __u32 which)
{
	const struct user_registers *regs = (void *)room->registers;
	struct swtrace_unwinder *st = &room->unwinder;
	__u32 first = frames_of(room->event.kernel_frames), rest = 0;
	bool is_copied = false;

	if ((regs->cs & 0xffff) == CODE_SEGMENT_32) {
		walk_user(now, ctx, room);
		room->event.ending = SWTRACE_END_COMPAT;
		return 0;
	}
	unwind(room, which, room->event.pid, first);
	if (lacks_rules(room)) {
		/* The frame where no rule was found has been kept, but not counted: what follows begins with it. */
		is_copied = has_room_for_copy() && ask_for_rules(room);
		for (int i = 0; i < SWTRACE_UNWIND_DEPTH / FRAMES_A_STEP + 1 && !is_copied; i++)
			if (unwind_guess_step(which))
				break;
	}
	if (stack_config.tasks)
		unwind_task_step(which);
	if (stack_config.async && st->context)
		for (int i = 0; i < SWTRACE_ASYNC_DEPTH / FRAMES_A_STEP; i++)
			if (unwind_async_step(which))
				break;
	if (is_copied)
		rest = copy_stack(room, first + st->count + st->async_count);
	room->event.user_frames = st->count;
	room->event.ending = st->ending;
	room->event.async_at = st->async_at;
	room->event.async_frames = st->async_count;
	room->event.guessed = st->guessed < 255 ? st->guessed : 255;
	return rest;
}

/* The same from within the kernel: a tracepoint. */
static __always_inline __u32 unwind_user_of_call(struct moment now, void *ctx, struct stack_room *room, __u32 which)
{
	room->event.is_in_kernel = 1;
	if (read_user_registers(room))
		return unwind_user(now, ctx, room, which);
	count(now, SWTRACE_MISSING_USER_STACK);
	return 0;
}

/* The user stack of the task that runs where it is another's waker; its frames go to the addresses from `first` on, as many as there is room
 * for beside a whole stack. Returns their number. No copy is made of what cannot be walked by rules yet: frame pointers have to do. */
static __always_inline int unwind_partner(struct moment now, void *ctx, struct stack_room *room, __u32 which, __u32 process, __u64 first)
{
	const struct user_registers *regs = (void *)room->registers;
	__u32 frames;

	if (read_user_registers(room) && (regs->cs & 0xffff) != CODE_SEGMENT_32) {
		frames = unwind(room, which, process, first);
		if (!lacks_rules(room))
			return frames < SWTRACE_STACK_DEPTH ? frames : SWTRACE_STACK_DEPTH;
		ask_for_rules(room);
	}
	return stack_frames(now, bpf_get_stack(ctx, &room->addresses[first], STACK_BYTES, BPF_F_USER_STACK), SWTRACE_MISSING_USER_STACK);
}
