// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A system call at its exit: the registers still hold its number and its arguments, so no second hook at the entry
 * and no map between the two is needed. (On arm64 the first argument's register is overwritten; orig_x0 keeps it.)
 */
#pragma once
#include "filter.bpf.h"

#if defined(__TARGET_ARCH_x86)
#define SYSCALL_OPEN 2
#define SYSCALL_EXECVE 59
#define SYSCALL_CREAT 85
#define SYSCALL_FUTEX 202
#define SYSCALL_OPENAT 257
#define SYSCALL_EXECVEAT 322
#define COMPAT_OPENAT 295
#define COMPAT_EXECVEAT 358
#define syscall_number(typed, regs) ((int)read_member(typed, regs, orig_ax))
#elif defined(__TARGET_ARCH_arm64)
#define SYSCALL_OPEN (-2)               /* arm64 has only openat */
#define SYSCALL_CREAT (-2)
#define SYSCALL_OPENAT 56
#define SYSCALL_FUTEX 98
#define SYSCALL_EXECVE 221
#define SYSCALL_EXECVEAT 281
#define COMPAT_OPENAT 322
#define COMPAT_EXECVEAT 387
#define syscall_number(typed, regs) ((int)read_member(typed, regs, syscallno))
#endif
#define SYSCALL_OPENAT2 437
#define SYSCALL_FUTEX_WAITV 449
#define SYSCALL_FUTEX_WAIT 455

/* The numbers of 32-bit programs. */
#define COMPAT_OPEN 5
#define COMPAT_CREAT 8
#define COMPAT_EXECVE 11
#define COMPAT_FUTEX 240
#define COMPAT_FUTEX_TIME64 422
#define COMPAT_OPENAT2 437

/* Whether the current call came through the interface of 32-bit programs, whose numbers have another meaning. */
static __always_inline bool is_compat(bool typed, struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return read_member(typed, task, thread_info.status) & 2;        /* TS_COMPAT */
#else
	return read_member(typed, task, thread_info.flags) & (1 << 22); /* TIF_32BIT */
#endif
}

/* An argument of the current call, the first one being 1. On x86, 32-bit programs pass theirs in other registers; the upper halves of
 * registers are not theirs. */
static __always_inline unsigned long syscall_argument(bool compat, struct pt_regs *regs, int position)
{
	unsigned long value;

#if defined(__TARGET_ARCH_x86)
	if (compat) {
		value = position == 1 ? BPF_CORE_READ(regs, bx) : position == 2 ? BPF_CORE_READ(regs, cx) :
			position == 3 ? BPF_CORE_READ(regs, dx) : BPF_CORE_READ(regs, si);
		return (__u32)value;
	}
#endif
	value = position == 1 ? PT_REGS_PARM1_CORE_SYSCALL(regs) : position == 2 ? PT_REGS_PARM2_CORE_SYSCALL(regs) :
		position == 3 ? PT_REGS_PARM3_CORE_SYSCALL(regs) : PT_REGS_PARM4_CORE_SYSCALL(regs);
	return compat ? (__u32)value : value;
}
