// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Which tasks are of interest; set by the options that all tools share. */
#pragma once
#include "types.h"

/* Zero in a member means: any. Lists and followed commands are in the map `targets` instead of `pid`. */
struct swtrace_filter {
	__u64 cgroup_id;                /* this cgroup and all below it */
	__u32 pid;                      /* the process: the kernel's tgid */
	__u32 tid;
	__u32 uid;
	__u32 excluded_pid;             /* swtrace itself, for tools whose own work would be events */
	__u8 has_uid;                   /* uid 0 is a uid */
	__u8 has_comm;
	__u8 has_targets;               /* the process, or the thread, must be in `targets` */
	__u8 follow_children;           /* a process started by one in `targets` joins it */
	__u8 targets_are_threads;       /* `targets` has thread ids */
	__u8 reserved[3];
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct swtrace_filter) == 48, "written by Sources/Tools/Session/TaskFilter.swift");
