// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* funclatency: how long calls of functions take.
 *
 * Hooks: a pair at the entry and the return: fentry and fexit for few kernel functions, kprobe.multi for many, single kprobes
 * elsewhere; uprobe and uretprobe for user functions. A call is known by its thread and its stack frame, so recursion keeps
 * every call apart, and a call that never returns (longjmp, an exception, a missed return) disturbs no other: it is forgotten
 * when its frame is used again or its thread ends. The kernel observes the returns of at most 64 nested calls of user functions
 * (MAX_URETPROBE_DEPTH); deeper ones are remarked.
 */
#include "kernel.h"
#include "funclatency.h"
#include "generic.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "target.bpf.h"

SEC(".rodata.config") const volatile struct generic_config config = {};

/* The calls of each thread are a list, so that they can be found when it ends. */
#define NO_CALL 0xffffffffU             /* in the place of a target: the list ends */

struct place {
	__u64 frame;
	__u32 target;
	__u32 reserved;
};

struct progress {
	__u64 time_ns;                  /* 0: it has returned, but stays in the list because a later one has not */
	struct place earlier;
};

/* Calls in progress, 1.8 MB for 16384; more at once count LOST_MAP_FULL. Sized by user space before the load. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct funclatency_call);
	__type(value, struct progress);
} calls SEC(".maps");

/* The newest call of each thread that lives and has called something; 1.4 MB, sized as the calls are. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct place);
} newest SEC(".maps");

/* The list of a thread; null where there is no room. The idle tasks of all processors share the id 0, and so can have no list. */
static __always_inline struct place *list_of(__u32 tid)
{
	struct place none = { .target = NO_CALL };

	if (!tid)
		return NULL;
	bpf_map_update_elem(&newest, &tid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&newest, &tid);
}

static __always_inline int handle_entry(__u64 target, __u64 frame)
{
	struct funclatency_call call = { .frame = frame, .tid = (__u32)bpf_get_current_pid_tgid(), .target = target };
	struct progress *earlier, new = {};
	struct place *list;

	if (!filter_current())
		return count(see(), SWTRACE_FILTERED);
	earlier = bpf_map_lookup_elem(&calls, &call);
	new.time_ns = bpf_ktime_get_ns();
	if (earlier) {
		bool has_returned = !earlier->time_ns;

		earlier->time_ns = new.time_ns;
		/* The same frame again: the earlier call has left it without returning. */
		return has_returned ? 0 : remark(SWTRACE_UNRETURNED);
	}
	list = bpf_map_lookup_elem(&newest, &call.tid);
	if (!list)
		list = list_of(call.tid);
	if (!list && call.tid)
		return count(see(), SWTRACE_LOST_MAP_FULL);
	/* Assigned, not copied from a constant: kernel 5.10 refuses the section that the compiler makes for such. */
	if (list)
		new.earlier = *list;
	else
		new.earlier.target = NO_CALL;
	if (bpf_map_update_elem(&calls, &call, &new, BPF_ANY))
		return count(see(), SWTRACE_LOST_MAP_FULL);
	if (list) {
		list->frame = call.frame;
		list->target = call.target;
	}
	return 0;
}

/* Takes the newest call of a thread off its list, and some of those before it that have returned; each return adds one at most. */
static __always_inline void take_newest(struct place *list, struct funclatency_call *call, struct progress *progress)
{
	for (int i = 0; i < 4; i++) {
		*list = progress->earlier;
		bpf_map_delete_elem(&calls, call);
		if (list->target == NO_CALL)
			break;
		call->frame = list->frame;
		call->target = list->target;
		progress = bpf_map_lookup_elem(&calls, call);
		if (!progress || progress->time_ns)
			break;
	}
}

static __always_inline int handle_return(__u64 target, __u64 frame)
{
	struct funclatency_call call = { .frame = frame, .tid = (__u32)bpf_get_current_pid_tgid(), .target = target };
	struct progress *progress = bpf_map_lookup_elem(&calls, &call);
	__u64 time_ns = bpf_ktime_get_ns(), latency;
	struct place *list;

	/* Entered before tracing began, or not of interest. */
	if (!progress || !progress->time_ns)
		return 0;
	latency = time_ns - progress->time_ns;
	list = bpf_map_lookup_elem(&newest, &call.tid);
	if (list && list->frame == call.frame && list->target == call.target)
		take_newest(list, &call, progress);
	else if (list)
		progress->time_ns = 0;
	else
		bpf_map_delete_elem(&calls, &call);
	/* Clocks of two processors may disagree by some nanoseconds. */
	if ((__s64)latency < 0)
		latency = 0;
	return histogram_add(see(), config.keyed ? target : 0, latency, NULL);
}

/* Removes some of a thread's calls; 1 while there are more. Not inlined, so that the verifier checks it once. */
__attribute__((noinline)) int drop_calls(int tid)
{
	struct funclatency_call call = { .tid = tid };
	struct place *list = bpf_map_lookup_elem(&newest, &call.tid);

	for (int i = 0; i < 256; i++) {
		struct progress *progress;

		if (!list || list->target == NO_CALL)
			return 0;
		call.frame = list->frame;
		call.target = list->target;
		progress = bpf_map_lookup_elem(&calls, &call);
		if (!progress)
			return 0;
		*list = progress->earlier;
		if (progress->time_ns)
			remark(SWTRACE_UNRETURNED);
		bpf_map_delete_elem(&calls, &call);
	}
	return 1;
}

static __always_inline int handle_end(__u32 tid)
{
	/* 16384 calls; more of one thread stay in the map. */
	for (int i = 0; i < 64; i++)
		if (!drop_calls(tid))
			break;
	bpf_map_delete_elem(&newest, &tid);
	return 0;
}

/* What a thread calls on its way out, after that, is forgotten when nothing is left of it. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(free_btf, struct task_struct *task) { return handle_end(task->pid); }

SEC("raw_tp/sched_process_free")
int BPF_PROG(free_raw, struct task_struct *task) { return handle_end(BPF_CORE_READ(task, pid)); }

SEC("tp_btf/sched_process_exit")
int BPF_PROG(end_btf, struct task_struct *task) { return handle_end(task->pid); }

SEC("raw_tp/sched_process_exit")
int BPF_PROG(end_raw, struct task_struct *task) { return handle_end(BPF_CORE_READ(task, pid)); }

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
