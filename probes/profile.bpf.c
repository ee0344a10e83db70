// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* profile: what each processor runs, sampled by a clock.
 *
 * Hook: a perf event of the CPU clock on each processor. Runs in the timer interrupt, in the task that it hits.
 */
#include "kernel.h"
#include "profile.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "unwind.bpf.h"

SEC(".rodata.config") const volatile struct profile_config config = {};

/* The user stack by the rules of its code; the bytes that follow the addresses. */
static __always_inline __u32 walk_by_rules(struct moment now, struct bpf_perf_event_data *ctx, struct stack_room *room)
{
	struct user_registers *regs = (void *)room->registers;

	/* The kernel's half of the addresses. */
	if ((__s64)ctx->regs.ip < 0)
		return unwind_user_of_call(now, ctx, room, 0);
	regs->r15 = ctx->regs.r15;
	regs->r14 = ctx->regs.r14;
	regs->r13 = ctx->regs.r13;
	regs->r12 = ctx->regs.r12;
	regs->bp = ctx->regs.bp;
	regs->bx = ctx->regs.bx;
	regs->r11 = ctx->regs.r11;
	regs->r10 = ctx->regs.r10;
	regs->r9 = ctx->regs.r9;
	regs->r8 = ctx->regs.r8;
	regs->ax = ctx->regs.ax;
	regs->cx = ctx->regs.cx;
	regs->dx = ctx->regs.dx;
	regs->si = ctx->regs.si;
	regs->di = ctx->regs.di;
	regs->ip = ctx->regs.ip;
	regs->cs = ctx->regs.cs;
	regs->sp = ctx->regs.sp;
	/* Else the compiler merges both ways into loads from one of two pointers, which the verifier refuses. */
	asm volatile("" ::: "memory");
	return unwind_user(now, ctx, room, 0);
}

static __always_inline int take_sample(struct bpf_perf_event_data *ctx, bool by_rules)
{
	__u64 ids = bpf_get_current_pid_tgid();
	struct moment now = see();
	struct stack_room *room;
	__u32 rest = 0;

	/* The idle tasks have pid 0. */
	if (!config.idle && !ids)
		return count(now, SWTRACE_FILTERED);
	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	room = stack_room(now, 0);
	if (!room)
		return 0;
	room->event.time_ns = bpf_ktime_get_ns();
	room->event.value = 1;
	room->event.pid = ids >> 32;
	room->event.tid = (__u32)ids;
	bpf_get_current_comm(room->event.comm, sizeof(room->event.comm));
	/* A sample in user mode has no kernel part: 0 bytes, no error. */
	if (stack_config.kernel) {
		long bytes = bpf_get_stack(ctx, room->addresses, STACK_BYTES, 0);

		room->event.kernel_frames = bytes ? stack_frames(now, bytes, SWTRACE_MISSING_KERNEL_STACK) : 0;
	}
	if (stack_config.user && has_user_stack(false, (void *)bpf_get_current_task())) {
		if (by_rules)
			rest = walk_by_rules(now, ctx, room);
		else
			walk_user(now, ctx, room);
	}
	return send_stack(now, room, rest);
}

SEC("perf_event")
int sample_rules(struct bpf_perf_event_data *ctx) { return take_sample(ctx, true); }

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx) { return take_sample(ctx, false); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
