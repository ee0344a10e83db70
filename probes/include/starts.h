// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* When something began for a thread. */
#pragma once
#include "types.h"

struct swtrace_starts_config {
	__u32 places;                   /* a power of two, and the size of start_places */
	__u32 reserved;
};
