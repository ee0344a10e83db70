// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The generic tools: calls of chosen functions, tracepoints and static probes. */
#pragma once
#include "types.h"

/* Stands in a program for the number of its target; copies of the program have another value there
 * (Sources/BPF/TargetPlace.swift). */
#define GENERIC_TARGET 0x7377747261636501ULL

/* System calls have smaller numbers. */
#define GENERIC_SYSCALLS 1024

struct generic_config {
	__u32 cpu;                      /* with has_cpu: only hits on this processor */
	__u8 has_cpu;
	__u8 keyed;                     /* a histogram for each target */
	__u8 reserved[2];
};
