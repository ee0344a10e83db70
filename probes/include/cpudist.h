// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* How long tasks stay on a processor, or off it. */
#pragma once
#include "types.h"

enum cpudist_key {
	CPUDIST_ALL,
	CPUDIST_PROCESS,
	CPUDIST_THREAD,
	CPUDIST_REASON,                 /* CPUDIST_VOLUNTARY or CPUDIST_INVOLUNTARY */
};

/* Why a task left its processor. */
enum cpudist_reason {
	CPUDIST_VOLUNTARY,              /* to sleep, to wait, or for good */
	CPUDIST_INVOLUNTARY,            /* it could have gone on */
};

struct cpudist_config {
	__u32 key;                      /* enum cpudist_key */
	__u8 off;                       /* -O: measure the time between leaving and coming back */
	__u8 include_idle;              /* -I: the idle tasks, pid 0, are tasks too */
	__u8 reserved[2];
};
_Static_assert(sizeof(struct cpudist_config) == 8, "written by Sources/Tools/Scheduler/Cpudist.swift");
