// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Page faults by process, thread, name or cgroup. */
#pragma once
#include "types.h"

enum faults_by {
	FAULTS_BY_PROCESS,
	FAULTS_BY_THREAD,
	FAULTS_BY_COMM,
	FAULTS_BY_CGROUP,
};

struct faults_config {
	__u32 by;                       /* enum faults_by */
	__u32 reserved;
};

struct faults_key {
	__u64 id;                       /* of the process, the thread or the cgroup (v2); 0 by name */
	char comm[SWTRACE_COMM_LENGTH]; /* by name; else zeros */
	__u32 copy;                     /* of the interval, as in struct swtrace_tally */
	__u32 reserved;
};

struct faults_cell {
	__u64 major;                    /* for which the kernel had to wait: the page came from a file or from swap */
	__u64 minor;
	char comm[SWTRACE_COMM_LENGTH]; /* of the process's first thread, or of the thread */
};
