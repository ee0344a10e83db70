// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* A call in progress. */
#pragma once
#include "types.h"

struct funclatency_call {
	__u64 frame;                    /* the same number at the entry and the return of a call, and of no other on its stack */
	__u32 tid;
	__u32 target;                   /* its position in the list of targets */
};
