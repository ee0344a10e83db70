// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Which of many targets a program was attached to.
 *
 * Where the kernel has cookies for the hook, the cookie says it: one program serves all targets. Elsewhere (5.10; fentry; raw
 * tracepoints before 6.10) each target has its own copy of the program, with its number in place of GENERIC_TARGET.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "generic.h"

/* Assembler, so that the number is one instruction, which user space finds and changes. */
static __always_inline __u64 copied_target(void)
{
	__u64 target;

	asm volatile("%0 = 0x7377747261636501 ll" : "=r"(target));
	return target;
}
_Static_assert(GENERIC_TARGET == 0x7377747261636501ULL, "written out in copied_target()");
