// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Bytes that programs allocate, by stack. */
#pragma once
#include "types.h"

/* The longest address space there is without asking for more: what is larger cannot be had. */
#define ALLOCS_LARGEST (1ull << 47)
/* An interval is less than 32 bits: its product with a random number is of 64. */
#define ALLOCS_LARGEST_INTERVAL (1ull << 30)
