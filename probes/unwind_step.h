// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One step of a walk over a stack. Pure: what it runs on supplies
 *
 *   unwind_read(unwinder, to, size, from)           reads memory of the process; 0 when it could
 *   unwind_read_pair(unwinder, to, from, upward)    reads two words; 0 when it could. The next ones are above or below, mostly near
 *   unwind_rule(unwinder, ip)                       the rule for an instruction; null after setting `ending`
 *   unwind_keep(unwinder, index, address)           keeps a frame
 *   unwind_register(unwinder, number, to)           a register of the innermost frame by its DWARF number; 0 when it is known
 *   unwind_running_task(unwinder)                   sets task and task_size to the Swift task that runs; 0 when there is one
 *
 * which are maps and helpers in the kernel, and callbacks in user space.
 */
#pragma once
#include "unwind.h"

static __always_inline long unwind_read(struct swtrace_unwinder *st, void *to, __u32 size, __u64 from);
static __always_inline long unwind_read_pair(struct swtrace_unwinder *st, __u64 *to, __u64 from, int upward);
static __always_inline const struct swtrace_unwind_rule *unwind_rule(struct swtrace_unwinder *st, __u64 ip);
static __always_inline void unwind_keep(struct swtrace_unwinder *st, __u32 index, __u64 address);
static __always_inline long unwind_register(struct swtrace_unwinder *st, __u8 number, __u64 *to);
static __always_inline long unwind_running_task(struct swtrace_unwinder *st);

/* Swift marks frame pointers of async functions in this bit (on Linux only where asked to). */
#define ASYNC_FRAME_BIT (1ull << 60)
/* Nothing is mapped below. */
#define LOWEST_ADDRESS 4096
/* No function has a larger frame, as far as a frame pointer without a rule is believed. */
#define LARGEST_GUESSED_FRAME (1 << 20)

static __always_inline int unwind_stop(struct swtrace_unwinder *st, enum swtrace_unwind_ending ending)
{
	st->ending = ending;
	return 1;
}

/* The frame of a signal handler's caller, which the kernel has put on the stack: struct rt_sigframe without its first
 * word, so that sp is at the ucontext, whose registers begin 40 bytes further on (arch/x86/include/uapi/asm/sigcontext.h). */
static __always_inline int unwind_signal(struct swtrace_unwinder *st)
{
	/* r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. One by one: programs have 512 bytes of stack with all they call. */
	__u64 registers = st->sp + 40, r14, bp, ends[2];

	if (unwind_read(st, &r14, sizeof(r14), registers + 6 * sizeof(__u64)) || unwind_read(st, &bp, sizeof(bp), registers + 10 * sizeof(__u64)) ||
	    unwind_read(st, ends, sizeof(ends), registers + 15 * sizeof(__u64)))
		return unwind_stop(st, SWTRACE_END_UNREADABLE);
	st->r14 = r14;
	st->bp = bp;
	st->sp = ends[0];
	st->ip = ends[1];
	st->is_leaf = 1;
	return 0;
}

/* Where there is no rule, a frame pointer is believed if it looks like one. That it equals the stack pointer is legal:
 * a function that has just made its frame. */
static __always_inline int unwind_by_frame_pointer(struct swtrace_unwinder *st)
{
	__u64 saved[2];                 /* the caller's frame pointer, and the return address */

	if (st->bp < st->sp || st->bp - st->sp > LARGEST_GUESSED_FRAME || unwind_read(st, saved, sizeof(saved), st->bp) ||
	    saved[1] < LOWEST_ADDRESS)
		return unwind_stop(st, SWTRACE_END_GAP);
	st->sp = st->bp + 16;
	st->bp = saved[0] & ~ASYNC_FRAME_BIT;
	st->ip = saved[1];
	st->is_leaf = 0;
	st->guessed++;
	return 0;
}

/* Keeps the frame where the walk is and goes to its caller's; 1 when that was the last one, after setting `ending`. */
static __always_inline int unwind_frame(struct swtrace_unwinder *st)
{
	__u64 ip = st->ip, cfa, bp = st->bp, address, saved[2];
	const struct swtrace_unwind_rule *rule;
	__u32 count = st->count;

	if (count >= SWTRACE_UNWIND_DEPTH)
		return unwind_stop(st, SWTRACE_END_TOO_DEEP);
	/* Whoever names it takes one from return addresses, to get into the call. What a signal interrupted is no call. */
	unwind_keep(st, count, ip + (count && st->is_leaf));
	/* The instruction after a call may belong to another function already. */
	rule = unwind_rule(st, ip - !st->is_leaf);
	if (!rule) {
		/* The frame is shown, and tried again from a copy of the stack: it counts when its caller is known. */
		return 1;
	}
	st->count = count + 1;
	switch (rule->cfa) {
	case SWTRACE_CFA_RSP:
		cfa = st->sp + rule->cfa_offset;
		break;
	case SWTRACE_CFA_RBP:
		cfa = bp + rule->cfa_offset;
		/* Frames lie one above the other. */
		if (cfa <= st->sp)
			return unwind_stop(st, SWTRACE_END_UNREADABLE);
		break;
	case SWTRACE_CFA_PLT:
		cfa = st->sp + 8 + ((__s32)(ip & 15) >= rule->cfa_offset ? 8 : 0);
		break;
	case SWTRACE_CFA_RBP_DEREF:
	case SWTRACE_CFA_RSP_DEREF:
		address = (rule->cfa == SWTRACE_CFA_RBP_DEREF ? bp : st->sp) + rule->cfa_offset;
		if (unwind_read(st, &cfa, sizeof(cfa), address))
			return unwind_stop(st, SWTRACE_END_UNREADABLE);
		cfa += rule->add;
		break;
	case SWTRACE_CFA_REGISTER:
	case SWTRACE_CFA_RSP_INDEXED:
		/* Of assembly that has put the place of its frame aside, and of functions that align their stack. */
		if (count || unwind_register(st, rule->reg, &cfa))
			return unwind_stop(st, SWTRACE_END_UNSUPPORTED);
		if (rule->cfa == SWTRACE_CFA_REGISTER) {
			cfa += rule->cfa_offset;
		} else {
			if (unwind_read(st, &address, sizeof(address), st->sp + 8 * cfa + rule->cfa_offset))
				return unwind_stop(st, SWTRACE_END_UNREADABLE);
			cfa = address + rule->add;
		}
		if (cfa <= st->sp)
			return unwind_stop(st, SWTRACE_END_UNREADABLE);
		break;
	case SWTRACE_CFA_SIGNAL:
		return unwind_signal(st);
	case SWTRACE_CFA_STOP:
		return unwind_stop(st, SWTRACE_END_COMPLETE);
	case SWTRACE_CFA_GAP:
		return unwind_by_frame_pointer(st);
	default:
		return unwind_stop(st, SWTRACE_END_UNSUPPORTED);
	}
	/* Usually both side by side: the caller's frame pointer, and the address to return to. Below that there may be nothing. */
	if (unwind_read_pair(st, saved, cfa - 16, 1) &&
	    (rule->rbp_offset == -16 || unwind_read(st, &saved[1], sizeof(saved[1]), cfa - 8)))
		return unwind_stop(st, SWTRACE_END_UNREADABLE);
	address = saved[1];
	if (rule->rbp == SWTRACE_RBP_AT_CFA || rule->rbp == SWTRACE_RBP_AT_RBP) {
		if ((rule->rbp != SWTRACE_RBP_AT_CFA || rule->rbp_offset != -16) &&
		    unwind_read_pair(st, saved, (rule->rbp == SWTRACE_RBP_AT_CFA ? cfa : bp) + rule->rbp_offset, 1))
			return unwind_stop(st, SWTRACE_END_UNREADABLE);
		bp = saved[0];
	}
	if (rule->flags & SWTRACE_RULE_ASYNC) {
		/* Only the innermost: the others are reached from its context. */
		if (st->async_at == SWTRACE_NO_ASYNC) {
			__u64 context = st->r14;

			if (rule->r14_offset == SWTRACE_CONTEXT_LOST ||
			    (rule->r14_offset && unwind_read(st, &context, sizeof(context), cfa + rule->r14_offset)))
				context = 0;
			else if (rule->r14_offset)
				context += rule->add;
			st->context = context;
			st->async_at = count;
		}
	} else if (rule->r14_offset && unwind_read(st, &st->r14, sizeof(st->r14), cfa + rule->r14_offset))
		return unwind_stop(st, SWTRACE_END_UNREADABLE);
	if (address < LOWEST_ADDRESS)
		return unwind_stop(st, address ? SWTRACE_END_UNREADABLE : SWTRACE_END_COMPLETE);
	st->bp = bp & ~ASYNC_FRAME_BIT;
	st->sp = cfa;
	st->ip = address;
	st->is_leaf = 0;
	return 0;
}

/* The same where a rule is missing that there may be: by a frame pointer, as far as these lead. The ending stays the reason. */
static __always_inline int unwind_guessed_frame(struct swtrace_unwinder *st)
{
	__u32 count = st->count;
	__u8 ending = st->ending;

	if (count >= SWTRACE_UNWIND_DEPTH)
		return 1;
	unwind_keep(st, count, st->ip + (count && st->is_leaf));
	st->count = count + 1;
	if (!unwind_by_frame_pointer(st))
		return 0;
	return unwind_stop(st, ending);
}

/* Goes from a context to that of the awaiting function (struct AsyncContext of the Swift runtime: Parent, ResumeParent),
 * and keeps where that one will go on: exactly a function's start. 1 when there is none. */
static __always_inline int unwind_async_frame(struct swtrace_unwinder *st)
{
	__u64 context[2];
	__u32 count = st->async_count;

	/* Tasks take the memory of contexts one above the other. */
	if (!st->context || count >= SWTRACE_ASYNC_DEPTH || unwind_read_pair(st, context, st->context, 0) ||
	    context[1] < LOWEST_ADDRESS)
		return 1;
	unwind_keep(st, st->count + count, context[1]);
	st->async_count = count + 1;
	st->context = context[0] & ~ASYNC_FRAME_BIT;
	return 0;
}

/* Of struct AsyncTask (include/swift/ABI/Task.h and stdlib/public/Concurrency/TaskPrivate.h of Swift; measured with 6.3), where on Linux: what
 * kind it is, where it will go on and with which context while it waits, and its state. Behind the object is a child's parent. */
#define TASK_FLAGS 32
#define TASK_NUMBER 36
#define TASK_RESUME 56
#define TASK_STATUS 96
#define TASK_IS_CHILD (1u << 24)
#define TASK_IS_GROUP_CHILD (1u << 26)
#define TASK_IS_ASYNC_LET (1u << 28)
#define TASK_IS_RUNNING 0x800
#define TASK_IS_COMPLETE 0x2000

/* At the end of a task's contexts, goes on to those of the task that made it as its child, if that one waits: a running one has its functions
 * on another thread's stack. 1 when there is none. */
static __always_inline int unwind_parent_task(struct swtrace_unwinder *st)
{
	__u64 parent, types[2], resume[2];
	__u32 flags, status, count = st->async_count;

	if (st->context || count >= SWTRACE_ASYNC_DEPTH - 1 || (!st->task && unwind_running_task(st)) ||
	    unwind_read(st, &flags, sizeof(flags), st->task + TASK_FLAGS) || !(flags & TASK_IS_CHILD) ||
	    unwind_read(st, &parent, sizeof(parent), st->task + st->task_size))
		return 1;
	/* Both are objects of one class; else the size is another one's. */
	if (unwind_read(st, &types[0], sizeof(types[0]), st->task) || unwind_read(st, &types[1], sizeof(types[1]), parent) ||
	    types[0] != types[1])
		return 1;
	if (unwind_read(st, &status, sizeof(status), parent + TASK_STATUS) || status & (TASK_IS_RUNNING | TASK_IS_COMPLETE) ||
	    unwind_read(st, resume, sizeof(resume), parent + TASK_RESUME) || resume[0] < LOWEST_ADDRESS)
		return 1;
	unwind_keep(st, st->count + count,
		    flags & TASK_IS_GROUP_CHILD ? SWTRACE_PARENT_OF_GROUP_CHILD
		    : flags & TASK_IS_ASYNC_LET ? SWTRACE_PARENT_OF_ASYNC_LET : SWTRACE_PARENT_OF_CHILD);
	unwind_keep(st, st->count + count + 1, resume[0]);
	st->async_count = count + 2;
	st->context = resume[1];
	st->task = parent;
	return 0;
}

/* The place of the last of 256 sorted mappings that begins at or before an address; the first, where none does.
 *
 * Without branches, which would double what the verifier has to follow at each of them. */
static __always_inline __u32 unwind_search_mappings(const struct swtrace_mapping *page, __u64 ip)
{
	__u64 place = 0;

#define STEP(distance) {                                                                                            \
		__s64 less = (__s64)(page[place + distance].start - ip - 1) >> 63;      /* all ones where it begins there */  \
		asm volatile("" : "+r"(less));          /* else the compiler makes a branch of it */                          \
		less &= distance;                                                                                             \
		asm volatile("" : "+r"(less));          /* else it makes an OR of the addition; kernel 6.1 loses its bounds */ \
		place += less;                                                                                                \
	}
	STEP(128) STEP(64) STEP(32) STEP(16) STEP(8) STEP(4) STEP(2) STEP(1)
#undef STEP
	return place;
}

/* The number of the rule that holds at the low byte of an address, of an index entry's rows in their page. */
static __always_inline __u32 unwind_search_rows(const __u32 *page, __u32 slot, __u32 count, __u32 before, __u8 low)
{
	__u64 limit = ((__u64)low << 16 | 0xffff) + 1;
	__u32 place = slot;

	/* 256 bytes of code have at most 256 rows. */
	for (int i = 0; i < 9 && count; i++) {
		__u32 half = count >> 1;
		__s64 less = (__s64)(page[(place + half) & (SWTRACE_ROWS_PER_PAGE - 1)] - limit) >> 63;
		__u32 after;

		asm volatile("" : "+r"(less));
		after = (__u32)less;
		place += (half + 1) & after;
		count = (half & ~after) | ((count - half - 1) & after);
	}
	return place == slot ? before : page[(place - 1) & (SWTRACE_ROWS_PER_PAGE - 1)] & 0xffff;
}
