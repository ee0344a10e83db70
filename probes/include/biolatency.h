// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* How long disks take for requests. */
#pragma once
#include "types.h"

/* The parts of a request's cmd_flags that make the key with -F. The operation's numbers are the kernel's own (enum req_op); the
 * flags from sync to no-wait have the same bits from 5.10 on (enum req_flag_bits). The others say how the kernel handles the
 * request, not what was asked for. */
#define BIOLATENCY_OPERATION 0xff
#define BIOLATENCY_FLAGS (BIOLATENCY_OPERATION | 0x3ff800)       /* the operation and bits 11 to 21 */

/* Of a histogram's key, where the disk is the upper half and the flags are the lower one. */
#define BIOLATENCY_NO_DISK 0xffffffffU

struct biolatency_config {
	__u64 since_ns;                 /* CLOCK_MONOTONIC before tracing began */
	__u32 disk;                     /* with has_disk: the kernel's dev_t of the only disk of interest */
	__u8 has_disk;
	__u8 queued;                    /* -Q: from the request's start instead of its issue */
	__u8 per_disk;
	__u8 per_flags;
	__u8 has_start;                 /* the start of requests is observed: block_io_start */
	__u8 reserved[7];
};
_Static_assert(sizeof(struct biolatency_config) == 24, "written by Sources/Tools/Block/Biolatency.swift");
