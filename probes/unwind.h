// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* How a stack is unwound: the rules that user space makes of .eh_frame, and the walk over them.
 *
 * Shared by the probes, by Sources/CUnwind, which is the same walk for user space, and by Sources/DebugInfo/Unwind.
 */
#pragma once
#include "include/types.h"

/* Where the canonical frame address (CFA) of a function is: the stack pointer before its call. */
enum swtrace_unwind_cfa {
	SWTRACE_CFA_GAP,                /* nothing is known here */
	SWTRACE_CFA_RSP,                /* rsp + cfa_offset */
	SWTRACE_CFA_RBP,                /* rbp + cfa_offset */
	SWTRACE_CFA_PLT,                /* rsp + 8, or 16 from byte cfa_offset of each entry of the PLT on */
	SWTRACE_CFA_RBP_DEREF,          /* *(rbp + cfa_offset) + add */
	SWTRACE_CFA_RSP_DEREF,          /* *(rsp + cfa_offset) + add */
	SWTRACE_CFA_SIGNAL,             /* the kernel's signal frame, at rsp */
	SWTRACE_CFA_STOP,               /* the outermost function: nobody called it */
	SWTRACE_CFA_REGISTER,           /* register reg + cfa_offset; known where the task was only */
	SWTRACE_CFA_RSP_INDEXED,        /* *(rsp + 8 * register reg + cfa_offset) + add; the same */
	SWTRACE_CFA_UNSUPPORTED,        /* an expression that nobody uses, or damage */
};

/* Where the caller's rbp is. */
enum swtrace_unwind_rbp {
	SWTRACE_RBP_SAME,               /* still in the register */
	SWTRACE_RBP_AT_CFA,             /* *(CFA + rbp_offset) */
	SWTRACE_RBP_AT_RBP,             /* *(rbp + rbp_offset) */
	SWTRACE_RBP_LOST,               /* nobody knows */
};

enum swtrace_unwind_flags {
	SWTRACE_RULE_ASYNC = 1,         /* in an async function of Swift; *(CFA + r14_offset) + add is its context; r14_offset 0: r14 is */
	SWTRACE_RULE_GUESSED = 2,       /* read from the instructions, because the compiler wrote no rule */
};

/* The r14_offset of an async function's rule where nobody knows the context any more. */
#define SWTRACE_CONTEXT_LOST 1

/* The return address is at CFA - 8, always, on x86-64 (System V ABI, 3.4.1 and DWARF register mapping 3.36). */
struct swtrace_unwind_rule {
	__u8 cfa;                       /* enum swtrace_unwind_cfa */
	__u8 rbp;                       /* enum swtrace_unwind_rbp */
	__s16 rbp_offset;
	__s32 cfa_offset;
	__s16 r14_offset;               /* the caller's r14 is at *(CFA + r14_offset); 0: still in the register */
	__u8 reg;                       /* by its DWARF number */
	__u8 flags;                     /* enum swtrace_unwind_flags */
	__s32 add;                      /* to what is read for the CFA, or for an async function's context */
};
_Static_assert(sizeof(struct swtrace_unwind_rule) == 16, "an element of the map of rules");

/* The most frames of a user stack, and of the async functions that await its innermost async one. */
#define SWTRACE_UNWIND_DEPTH 255
#define SWTRACE_ASYNC_DEPTH 64

/* Why the user part of a stack ends where it does. */
enum swtrace_unwind_ending {
	SWTRACE_END_UNKNOWN,            /* the kernel walked it by frame pointers, and does not say */
	SWTRACE_END_COMPLETE,           /* nobody called the last function */
	SWTRACE_END_TOO_DEEP,           /* there are more than SWTRACE_UNWIND_DEPTH */
	SWTRACE_END_NO_PROCESS,         /* where the process has mapped what is not known */
	SWTRACE_END_NO_MAPPING,         /* nothing that is known is mapped there */
	SWTRACE_END_NO_TABLE,           /* the rules of that file are not there (any more) */
	SWTRACE_END_GAP,                /* no rule for that function, and no frame pointer */
	SWTRACE_END_UNSUPPORTED,        /* a rule that is not understood */
	SWTRACE_END_UNREADABLE,         /* the stack could not be read, or makes no sense */
	SWTRACE_END_CUT,                /* in user space: what was copied of the stack ends before it */
	SWTRACE_END_COMPAT,             /* of a 32-bit program: walked by frame pointers */
	SWTRACE_ENDINGS,
};

/* An address space as the probes see it: entries sorted by start in pages of 4 KiB. The unused ones at the end start at
 * SWTRACE_MAPPING_UNUSED. */
struct swtrace_mapping {
	__u64 start;                    /* a multiple of 4096 */
	__u32 pages;                    /* its length in units of 256 bytes; 0: `base` is a page of the pool with the mappings from here on */
	__u32 base;                     /* the entry of the page index for its first 256 bytes, or one of those below */
};
#define SWTRACE_MAPPINGS_PER_PAGE 256
#define SWTRACE_MAPPING_UNUSED 0x7fffffffffffffffull
#define SWTRACE_BASE_PENDING 0          /* its rules are being made, or had no room */
#define SWTRACE_BASE_NONE 1             /* code without rules, such as a just-in-time compiler's */
#define SWTRACE_BASE_FIRST 2

/* Where the Swift runtime of a process keeps the task that a thread runs. */
enum swtrace_task_place {
	SWTRACE_TASK_NONE,              /* there is no runtime, or it is not understood */
	SWTRACE_TASK_AT_THREAD_POINTER, /* task_offset behind it */
	SWTRACE_TASK_IN_BLOCK,          /* task_offset behind the place in the module's block that two words at task_descriptor say */
};

/* What the probes know of a process. */
struct swtrace_unwind_process {
	__u32 page;                     /* of the pool: the mappings, or where they are */
	__u32 task_place;               /* enum swtrace_task_place */
	__u64 memory;                   /* where the stack begins of the program that they are of, 0 for any: those of another one, before
	                                 * or after an exec, are not believed */
	__u64 task_descriptor;
	__s32 task_offset;
	__u32 task_size;                /* in bytes; behind it a child has the address of its parent */
};
#define SWTRACE_NO_PAGE 0xffffffff

/* Rows stand in pages of 4 KiB of the pool, those for 256 bytes of code in one page. A row is
 * the low byte of the address where it begins to hold << 16 | the number of its rule. */
#define SWTRACE_POOL_PAGE 4096
#define SWTRACE_POOL_PAGES 256          /* in a shard of 1 MiB */
#define SWTRACE_ROWS_PER_PAGE 1024
/* An entry of the page index: the slot of the first row | the number of rows << 32 | the rule that holds before them << 48. */
#define SWTRACE_INDEX_SHARD (1 << 17)   /* entries in a shard of 1 MiB */
#define SWTRACE_SHARDS 64               /* the most of each kind */
#define SWTRACE_RULES 16384

#define SWTRACE_NO_ASYNC 0xff

/* What stands for an address among the awaiting functions: what follows are those of the task that has made this one. */
enum swtrace_parent_task {
	SWTRACE_PARENT_OF_CHILD = 1,    /* in some other way than the two below */
	SWTRACE_PARENT_OF_GROUP_CHILD,
	SWTRACE_PARENT_OF_ASYNC_LET,
};

/* A walk: where it is. */
struct swtrace_unwinder {
	__u64 ip, sp, bp, r14;
	__u64 start, end;               /* the mapping of the last look-up */
	__u64 context;                  /* of the innermost async function, where one was met; then of those that await it */
	__u64 window;                   /* in the kernel: where the last read of the stack has begun, or 0 */
	__u64 task;                     /* the Swift task that the contexts are of, once it was needed */
	__u32 task_size;
	__u32 base;                     /* of that mapping */
	__u32 page;                     /* of the process's mappings in the pool; SWTRACE_NO_PAGE: it is not known */
	__u32 first;                    /* where the frames begin among the addresses */
	__u32 count;                    /* frames found */
	__u32 async_count;              /* awaiting functions found */
	__u16 guessed;                  /* frames whose caller was found by a frame pointer for lack of a rule */
	__u8 is_leaf;                   /* ip is where the task was, not where it will return to */
	__u8 ending;                    /* enum swtrace_unwind_ending */
	__u8 async_at;                  /* the frame that `context` belongs to, or SWTRACE_NO_ASYNC */
	__u8 reserved[3];
};
