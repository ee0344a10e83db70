// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Text longer than a record: pieces that go before the event they belong to, joined again by user space. */
#pragma once
#include "types.h"

/* Stands where events have their time; no time is this. */
#define SWTRACE_PIECE 0xffffffffffffffffULL

/* Followed by `length` bytes. Pieces of one event arrive in order; another event's may come between. */
struct swtrace_piece {
	__u64 mark;                     /* SWTRACE_PIECE */
	__u64 time_ns;                  /* of the event that will follow */
	__u32 pid;                      /* of the event that will follow */
	__u32 length;
};
_Static_assert(sizeof(struct swtrace_piece) == 24, "read by Sources/Tools/Session/Pieces.swift");
