// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One open, openat, openat2 or creat that has returned. */
#pragma once
#include "types.h"

#define OPENSNOOP_PATH 4096             /* PATH_MAX */

#define OPENSNOOP_CALLERS 32

struct opensnoop_config {
	__u8 failed_only;               /* -x */
	__u8 full_path;                 /* -F: complete relative paths */
	__u8 has_name;                  /* -n: only tasks whose command name contains `name` */
	__u8 callers;                   /* -c: the user stack */
	__u8 reserved[4];
	char name[SWTRACE_COMM_LENGTH];
};

/* Followed by path_length bytes of the path as the program gave it, and prefix_length bytes of the folder it is relative to,
 * as names from the inside out, each ended by a zero; then callers addresses of 64 bits, innermost first, not aligned. */
struct opensnoop_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u32 pid, tid, uid;
	__s32 result;                   /* file descriptor, or negative errno */
	__u32 flags;                    /* O_ flags */
	__u32 mode;                     /* permission bits of a new file */
	__u16 path_length;              /* 0: the path could not be read */
	__u16 prefix_length;            /* 0 also where the folder is the root */
	__u8 has_folder;                /* the folder is known, so the path is full */
	__u8 callers;
	__u8 reserved[2];
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct opensnoop_event) == 56, "read by Sources/Tools/Files/Opensnoop.swift");
