// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Histograms with 8 slots for each power of two: the relative error of a slot's bounds is at most 1/8.
 *
 * Values below 8 have a slot each. Shared with Swift, which reads bounds back from slots; tested there.
 */
#pragma once
#include "types.h"

#define SWTRACE_SLOT_BITS 3
#define SWTRACE_SLOTS 496               /* slot of the largest 64-bit value, plus one */

/* The unit of a slot's value, in nanoseconds; sums and maxima are always nanoseconds (or plain numbers where unit is 1). */
struct swtrace_histogram_config {
	__u64 unit;
	__u8 keyed;                     /* one histogram for each key instead of one for all */
	__u8 reserved[7];
};

/* Keys that have a whole histogram for themselves; a power of two. */
#define SWTRACE_HISTOGRAM_ROWS 64

/* Where such a key's is, if it has one: the upper bits of a product (Fibonacci hashing; Knuth, The Art of Computer Programming 3, 6.4). */
static inline __attribute__((always_inline)) __u32 swtrace_histogram_row(__u64 key)
{
	return key * 0x9e3779b97f4a7c15ULL >> 58;
}

struct swtrace_histogram {
	__u64 sum;
	__u64 maximum;
	__u64 slots[SWTRACE_SLOTS];
};

/* A slot of one key's histogram; only slots that have values exist. */
struct swtrace_histogram_key {
	__u64 key;                      /* what it means is the tool's: a process, a disk, a function */
	__u32 slot;
	__u32 copy;                     /* of the interval, as in struct swtrace_tally */
};

struct swtrace_histogram_cell {
	__u64 count;
	__u64 sum;
	__u64 maximum;
	char comm[SWTRACE_COMM_LENGTH]; /* of the task of the last value; empty when the key is no task */
};

static inline __attribute__((always_inline)) __u32 swtrace_log2(__u64 value)
{
	__u32 result = 0;

	if (value >> 32) { value >>= 32; result += 32; }
	if (value >> 16) { value >>= 16; result += 16; }
	if (value >> 8) { value >>= 8; result += 8; }
	if (value >> 4) { value >>= 4; result += 4; }
	if (value >> 2) { value >>= 2; result += 2; }
	if (value >> 1) result += 1;
	return result;
}

/* The slot that a value falls into. */
static inline __attribute__((always_inline)) __u32 swtrace_slot(__u64 value)
{
	__u32 exponent;

	if (value < 1 << SWTRACE_SLOT_BITS)
		return (__u32)value;
	exponent = swtrace_log2(value);
	return ((exponent - SWTRACE_SLOT_BITS + 1) << SWTRACE_SLOT_BITS) +
	       (__u32)((value >> (exponent - SWTRACE_SLOT_BITS)) & ((1 << SWTRACE_SLOT_BITS) - 1));
}

/* The smallest value of a slot. */
static inline __attribute__((always_inline)) __u64 swtrace_slot_low(__u32 slot)
{
	__u32 exponent;

	if (slot < 1 << SWTRACE_SLOT_BITS)
		return slot;
	exponent = (slot >> SWTRACE_SLOT_BITS) + SWTRACE_SLOT_BITS - 1;
	return ((1ULL << SWTRACE_SLOT_BITS) + (slot & ((1 << SWTRACE_SLOT_BITS) - 1))) << (exponent - SWTRACE_SLOT_BITS);
}
