// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* How events travel to user space. */
#pragma once
#include "types.h"

/* When the reader is woken before its next tick. */
struct swtrace_events_config {
	__u64 wake_bytes;               /* unread bytes; set to a quarter of the ring */
};
