// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* allocs: bytes that programs ask their C library for, by stack.
 *
 * Hooks: uprobes at the entries of malloc, calloc, realloc, memalign, aligned_alloc and posix_memalign, one program each, because they
 * find the size in different places. They are short: what takes a sample is one program more, which they call when there is one to take.
 */
#include "kernel.h"
#include "allocs.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "unwind.bpf.h"

/* In bytes. An allocation of less is taken with a probability of its part of it, and then stands for a whole one: the sums stay what they
 * are, in the mean. User space may change it at any time; 1 takes all. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} allocation_interval SEC(".maps");

/* The program that takes a sample; user space puts it there. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} taker SEC(".maps");

struct allocation {
	__u64 owner;                    /* whose sample is being taken on this processor, or 0 */
	__u64 value;
	__u64 copy;                     /* of the interval that it counts in */
	__u64 last_owner;               /* the last call that was looked at, and by which attachment */
	__u64 last_sp;
	__u64 last_cookie;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct allocation);
} allocations SEC(".maps");

/* What an allocation stands for; 0 when it is not taken. */
static __always_inline __u64 weight_of_allocation(__u64 size)
{
	__u32 zero = 0;
	__u64 *set = bpf_map_lookup_elem(&allocation_interval, &zero);
	__u64 interval = set ? *set : 1;

	if (size >= ALLOCS_LARGEST)
		return 0;
	if (size >= interval)
		return size;
	return ((__u64)bpf_get_prandom_u32() * interval) >> 32 < size ? interval : 0;
}

/* Whether this very call has been looked at by another attachment: one file that is reached on several ways, as two containers of an image
 * do, gets several where they cannot be told to be one. */
static __always_inline bool is_seen_again(struct allocation *last, void *ctx, __u64 owner, __u64 sp)
{
	__u64 cookie;

	/* Of 5.15. Before, the files of containers are told apart by what is below them. */
	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie))
		return false;
	cookie = bpf_get_attach_cookie(ctx);
	if (last->last_owner == owner && last->last_sp == sp && last->last_cookie != cookie)
		return true;
	last->last_owner = owner;
	last->last_sp = sp;
	last->last_cookie = cookie;
	return false;
}

static __always_inline int allocate(struct pt_regs *ctx, __u64 size)
{
	__u64 owner = bpf_get_current_pid_tgid(), value;
	struct allocation *this;
	struct moment now;
	__u32 zero = 0;

	this = bpf_map_lookup_elem(&allocations, &zero);
	if (!this || is_seen_again(this, ctx, owner, PT_REGS_SP(ctx)))
		return 0;
	now = see();
	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	value = weight_of_allocation(size);
	if (!value)
		return count(now, SWTRACE_FILTERED);
	/* Another thread, whose sample this one has interrupted, goes on with it later. */
	if (this->owner)
		return count(now, SWTRACE_LOST_SCRATCH);
	this->owner = owner;
	this->value = value;
	this->copy = now.copy;
	bpf_tail_call(ctx, &taker, 0);
	this->owner = 0;
	return count(now, SWTRACE_LOST_SCRATCH);
}

SEC("uprobe")
int enter_malloc(struct pt_regs *ctx) { return allocate(ctx, PT_REGS_PARM1(ctx)); }

SEC("uprobe")
int enter_calloc(struct pt_regs *ctx)
{
	__u64 count = PT_REGS_PARM1(ctx), size = PT_REGS_PARM2(ctx);

	/* A product of more than 64 bits cannot be had. */
	return allocate(ctx, size && count >= ALLOCS_LARGEST / size ? ALLOCS_LARGEST : count * size);
}

/* Of a library whose realloc calls malloc where nothing was allocated yet. */
SEC("uprobe")
int enter_realloc_of_some(struct pt_regs *ctx) { return PT_REGS_PARM1(ctx) ? allocate(ctx, PT_REGS_PARM2(ctx)) : 0; }

SEC("uprobe")
int enter_realloc(struct pt_regs *ctx) { return allocate(ctx, PT_REGS_PARM2(ctx)); }

/* Of a library that calls malloc for the alignment that all allocations have. */
SEC("uprobe")
int enter_aligned_more(struct pt_regs *ctx) { return PT_REGS_PARM1(ctx) > 16 ? allocate(ctx, PT_REGS_PARM2(ctx)) : 0; }

SEC("uprobe")
int enter_aligned(struct pt_regs *ctx) { return allocate(ctx, PT_REGS_PARM2(ctx)); }

SEC("uprobe")
int enter_posix_more(struct pt_regs *ctx) { return PT_REGS_PARM2(ctx) > 16 ? allocate(ctx, PT_REGS_PARM3(ctx)) : 0; }

static __always_inline int take_sample(struct pt_regs *ctx, bool by_rules)
{
	__u64 owner = bpf_get_current_pid_tgid();
	struct stack_room *room;
	struct allocation *this;
	struct moment now;
	__u32 zero = 0, rest = 0;

	this = bpf_map_lookup_elem(&allocations, &zero);
	if (!this)
		return 0;
	now.copy = this->copy & 1;
	now.tally = tally_here();
	room = stack_room(now, 0);
	if (!room) {
		this->owner = 0;
		return 0;
	}
	room->event.time_ns = bpf_ktime_get_ns();
	room->event.value = this->value;
	room->event.pid = owner >> 32;
	room->event.tid = (__u32)owner;
	bpf_get_current_comm(room->event.comm, sizeof(room->event.comm));
	if (by_rules && stack_config.user) {
		if (bpf_probe_read_kernel(room->registers, sizeof(struct user_registers), ctx))
			count(now, SWTRACE_MISSING_USER_STACK);
		else
			rest = unwind_user(now, ctx, room, 0);
	} else
		walk_user(now, ctx, room);
	send_stack(now, room, rest);
	this->owner = 0;
	return 0;
}

SEC("uprobe")
int take_rules(struct pt_regs *ctx) { return take_sample(ctx, true); }

SEC("uprobe")
int take(struct pt_regs *ctx) { return take_sample(ctx, false); }

/* The same for links to many places (6.6), which need no CAP_SYS_ADMIN; the kernel wants a program and those that call it to be of one kind. */
SEC("uprobe")
int take_multi_rules(struct pt_regs *ctx) { return take_sample(ctx, true); }

SEC("uprobe")
int take_multi(struct pt_regs *ctx) { return take_sample(ctx, false); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
