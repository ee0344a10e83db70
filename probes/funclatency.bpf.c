// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* funclatency: how long calls of functions take.
 *
 * Hooks: a pair at the entry and the return: fentry and fexit for few kernel functions, kprobe.multi for many, single kprobes
 * elsewhere; uprobe and uretprobe for user functions. A call is known by its thread and its stack frame, so recursion keeps
 * every call apart, and a call that never returns (longjmp, an exception, a missed return) disturbs no other. The kernel
 * observes the returns of at most 64 nested calls of user functions (MAX_URETPROBE_DEPTH); deeper ones are remarked.
 */
#include "kernel.h"
#include "funclatency.h"
#include "generic.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "target.bpf.h"

SEC(".rodata.config") const volatile struct generic_config config = {};

/* Calls in progress. 16384 are about 1.4 MB; more at once count LOST_MAP_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct funclatency_call);
	__type(value, __u64);
} calls SEC(".maps");

static __always_inline int handle_entry(__u64 target, __u64 frame)
{
	struct funclatency_call call = { .frame = frame, .tid = (__u32)bpf_get_current_pid_tgid(), .target = target };
	__u64 *earlier, time_ns;

	if (!filter_current())
		return count(see(), SWTRACE_FILTERED);
	earlier = bpf_map_lookup_elem(&calls, &call);
	time_ns = bpf_ktime_get_ns();
	if (earlier) {
		/* The same frame again: the earlier call has left it without returning. */
		*earlier = time_ns;
		return remark(SWTRACE_UNRETURNED);
	}
	if (bpf_map_update_elem(&calls, &call, &time_ns, BPF_ANY))
		return count(see(), SWTRACE_LOST_MAP_FULL);
	return 0;
}

static __always_inline int handle_return(__u64 target, __u64 frame)
{
	struct funclatency_call call = { .frame = frame, .tid = (__u32)bpf_get_current_pid_tgid(), .target = target };
	__u64 time_ns = bpf_ktime_get_ns(), *entered = bpf_map_lookup_elem(&calls, &call);
	__u64 latency;

	/* Entered before tracing began, or not of interest. */
	if (!entered)
		return 0;
	latency = time_ns - *entered;
	bpf_map_delete_elem(&calls, &call);
	/* Clocks of two processors may disagree by some nanoseconds. */
	if ((__s64)latency < 0)
		latency = 0;
	return histogram_add(see(), config.keyed ? target : 0, latency, NULL);
}

/* The arguments of fentry and fexit programs lie in the trampoline's stack frame, which is the call's own. Taking the address
 * of a constant from it makes a plain number, which may go into a map on every kernel. */
static __always_inline __u64 trampoline_frame(void *context)
{
	__u64 frame = (__u64)context;

	asm volatile("%0 -= %1" : "+r"(frame) : "r"(&config));
	return frame;
}

/* At the entry the stack pointer is at the return address, at the return just above it. */
static __always_inline __u64 entry_frame(struct pt_regs *regs) { return PT_REGS_SP(regs); }

static __always_inline __u64 return_frame(struct pt_regs *regs)
{
#if defined(__TARGET_ARCH_x86)
	return PT_REGS_SP(regs) - 8;
#else
	return PT_REGS_SP(regs);
#endif
}

SEC("fentry")
int entry_fentry(void *context) { return handle_entry(copied_target(), trampoline_frame(context)); }

SEC("fexit")
int return_fentry(void *context) { return handle_return(copied_target(), trampoline_frame(context)); }

SEC("kprobe.multi")
int entry_kprobe_multi(struct pt_regs *regs) { return handle_entry(bpf_get_attach_cookie(regs), entry_frame(regs)); }

SEC("kretprobe.multi")
int return_kprobe_multi(struct pt_regs *regs) { return handle_return(bpf_get_attach_cookie(regs), return_frame(regs)); }

SEC("kprobe")
int entry_kprobe(struct pt_regs *regs) { return handle_entry(bpf_get_attach_cookie(regs), entry_frame(regs)); }

SEC("kretprobe")
int return_kprobe(struct pt_regs *regs) { return handle_return(bpf_get_attach_cookie(regs), return_frame(regs)); }

SEC("kprobe")
int entry_kprobe_copy(struct pt_regs *regs) { return handle_entry(copied_target(), entry_frame(regs)); }

SEC("kretprobe")
int return_kprobe_copy(struct pt_regs *regs) { return handle_return(copied_target(), return_frame(regs)); }

SEC("uprobe")
int entry_uprobe_multi(struct pt_regs *regs) { return handle_entry(bpf_get_attach_cookie(regs), entry_frame(regs)); }

SEC("uretprobe")
int return_uprobe_multi(struct pt_regs *regs) { return handle_return(bpf_get_attach_cookie(regs), return_frame(regs)); }

SEC("uprobe")
int entry_uprobe(struct pt_regs *regs) { return handle_entry(bpf_get_attach_cookie(regs), entry_frame(regs)); }

SEC("uretprobe")
int return_uprobe(struct pt_regs *regs) { return handle_return(bpf_get_attach_cookie(regs), return_frame(regs)); }

SEC("uprobe")
int entry_uprobe_copy(struct pt_regs *regs) { return handle_entry(copied_target(), entry_frame(regs)); }

SEC("uretprobe")
int return_uprobe_copy(struct pt_regs *regs) { return handle_return(copied_target(), return_frame(regs)); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
