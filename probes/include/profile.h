// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Sampling what the processors run. */
#pragma once
#include "types.h"

struct profile_config {
	__u8 idle;                      /* -I: the idle tasks too */
	__u8 reserved[7];
};
