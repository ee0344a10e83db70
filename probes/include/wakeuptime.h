// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Who wakes blocked tasks, and how long they had been blocked. */
#pragma once
#include "types.h"

struct wakeuptime_config {
	__u64 minimum_ns;
	__u64 maximum_ns;               /* 0: none */
	__u8 user_threads_only;         /* of the tasks that are woken */
	__u8 reserved[7];
};
