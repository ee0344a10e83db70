// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A process that the kernel chose to end because memory ran out. */
#pragma once
#include "types.h"

#define OOMKILL_PATH 4096               /* bytes of a cgroup's names, each with its zero */

/* Where memory ran out: 0 for not known, else enum oom_constraint of the kernel plus one. */
enum oomkill_scope {
	OOMKILL_UNKNOWN,
	OOMKILL_SYSTEM,
	OOMKILL_CPUSET,
	OOMKILL_MEMORY_POLICY,
	OOMKILL_CGROUP,
};

/* Followed by path_length bytes: the names of the victim's memory cgroup from the inside out, each ended by a zero. */
struct oomkill_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 scope_pages;              /* all pages of the scope; 0: not known */
	__u64 virtual_pages;            /* of the victim, as all below */
	__u64 anonymous_pages, file_pages, shared_pages;        /* in memory: together its resident set */
	__u64 table_bytes;              /* of page tables */
	__u32 pid, tid, uid;
	__s32 score_adjustment;         /* oom_score_adj */
	__u32 trigger_pid, trigger_tid; /* of the task that needed memory */
	__u32 path_length;
	__u8 scope;                     /* enum oomkill_scope */
	__u8 was_dying;                 /* it was ending already: it got no signal, only leave to use the last memory */
	__u8 is_known;                  /* else nothing but its tid is */
	__u8 has_path;                  /* the path is complete; without names it is the root */
	char comm[SWTRACE_COMM_LENGTH];
	char trigger_comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct oomkill_event) == 120, "read by Sources/Tools/Memory/Oomkill.swift");
