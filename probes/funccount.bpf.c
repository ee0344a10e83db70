// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* funccount: how often functions, tracepoints and static probes are reached.
 *
 * Hooks: fentry for few kernel functions, kprobe.multi for many, single kprobes elsewhere; uprobes for user functions and
 * static probes; raw tracepoints, or perf events for those that have none; raw_syscalls for tracepoints of single system calls.
 */
#include "kernel.h"
#include <bpf/bpf_tracing.h>
#include "generic.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "syscall.bpf.h"
#include "target.bpf.h"

SEC(".rodata.config") const volatile struct generic_config config = {};

/* The counts of target t are at 2 * t and 2 * t + 1: a copy for each interval. Sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

static __always_inline int handle_hit(__u64 target)
{
	struct moment now = see();
	__u32 index = 2 * target + now.copy;
	__u64 *hits;

	if (config.has_cpu && bpf_get_smp_processor_id() != config.cpu)
		return count(now, SWTRACE_FILTERED);
	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	hits = bpf_map_lookup_elem(&calls, &index);
	if (!hits)
		return count(now, SWTRACE_LOST_SCRATCH);
	__sync_fetch_and_add(hits, 1);
	return count(now, SWTRACE_DELIVERED);
}

/* User space names the function before the load, in this program and in its copies. */
SEC("fentry")
int hit_fentry(void *context) { return handle_hit(copied_target()); }

SEC("kprobe.multi")
int hit_kprobe_multi(void *context) { return handle_hit(bpf_get_attach_cookie(context)); }

SEC("kprobe")
int hit_kprobe(void *context) { return handle_hit(bpf_get_attach_cookie(context)); }

SEC("kprobe")
int hit_kprobe_copy(void *context) { return handle_hit(copied_target()); }

SEC("uprobe")
int hit_uprobe_multi(void *context) { return handle_hit(bpf_get_attach_cookie(context)); }

SEC("uprobe")
int hit_uprobe(void *context) { return handle_hit(bpf_get_attach_cookie(context)); }

SEC("uprobe")
int hit_uprobe_copy(void *context) { return handle_hit(copied_target()); }

SEC("raw_tp")
int hit_raw(void *context) { return handle_hit(copied_target()); }

/* The system calls that are targets: at twice the number the target of the begin, then of the end, each plus 1. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * GENERIC_SYSCALLS);
	__type(key, __u32);
	__type(value, __u32);
} system_calls SEC(".maps");

static __always_inline int handle_call(long number, __u32 at_end)
{
	__u32 index = 2 * number + at_end, *target;

	if (number < 0 || number >= GENERIC_SYSCALLS)
		return 0;
	target = bpf_map_lookup_elem(&system_calls, &index);
	/* The tracepoints of single calls leave out 32-bit programs, too. */
	if (!target || !*target || is_compat(false, (void *)bpf_get_current_task()))
		return 0;
	return handle_hit(*target - 1);
}

/* All calls at once: each tracepoint of a single call would hold up the end by a grace period. */
SEC("raw_tp/sys_enter")
int BPF_PROG(hit_call_begin, struct pt_regs *regs, long number) { return handle_call(number, 0); }

SEC("raw_tp/sys_exit")
int BPF_PROG(hit_call_end, struct pt_regs *regs, long result) { return handle_call(syscall_number(false, regs), 1); }

SEC("tp")
int hit_event(void *context) { return handle_hit(copied_target()); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
