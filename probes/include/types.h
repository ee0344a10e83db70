// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Fixed-width types for layouts that both the kernel side and Swift read. */
#pragma once

#ifdef __bpf__
#include "kernel.h"
#else
#include <linux/types.h>
#endif

/* The kernel's TASK_COMM_LEN, its final zero included. */
#define SWTRACE_COMM_LENGTH 16
