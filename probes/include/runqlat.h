// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* How long tasks wait for a processor. */
#pragma once
#include "types.h"

enum runqlat_key {
	RUNQLAT_ALL,
	RUNQLAT_PROCESS,
	RUNQLAT_THREAD,
	RUNQLAT_PID_NAMESPACE,
	RUNQLAT_CGROUP,                 /* of the v2 hierarchy */
};

struct runqlat_config {
	__u32 key;                      /* enum runqlat_key */
	__u32 reserved;
};
