// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* biolatency: the time that disks take for requests.
 *
 * A request starts (block_io_start, in the task that asks for it; since 6.5), is queued (block_rq_insert, only with an I/O
 * scheduler), is handed to the driver (block_rq_issue) and completed (block_rq_complete), in parts if the driver likes. A
 * request that the device has no room for goes back (block_rq_requeue) and is issued again; one that is merged into another
 * ends without completion (block_rq_merge).
 *
 * Queueing, issuing and completing happen in any context, so the task that asks is tested once, at the first event of the
 * request: that is exact for block_io_start, and nearly always right without it. The verdict is kept until the completion.
 */
#include "kernel.h"
#include "biolatency.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"

SEC(".rodata.config") const volatile struct biolatency_config config = {};

#define REQ_OP_WRITE 1
#define REQ_OP_FLUSH 2

/* The requests of which the first event was seen. The kernel reuses the memory of requests, so a pointer names one only from
 * its start to its completion. */
struct pending {
	__u64 time_ns;                  /* when the measured time began */
	__u8 is_wanted;                 /* the filter's verdict on the task */
	__u8 is_issued;
	__u8 is_requeued;
	__u8 reserved[5];
};

/* As many as fit into the tags of 40 busy queues of 256, in 1 MB; others count LOST_MAP_FULL when they are completed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, struct pending);
} requests SEC(".maps");

/* Whether there was ever no room for a request. */
static bool has_refused;

/* Until 5.11 these tracepoints had the queue before the request, and the change went into older kernels too. Types are
 * compared by their parameters, of which the first is the tracepoint's own. */
typedef void (*btf_trace_block_rq_insert___before_5_11)(void *, struct request_queue *, struct request *);
typedef void (*btf_trace_block_rq_issue___before_5_11)(void *, struct request_queue *, struct request *);
typedef void (*btf_trace_block_rq_merge___before_5_11)(void *, struct request_queue *, struct request *);
typedef void (*btf_trace_block_rq_requeue___before_5_11)(void *, struct request_queue *, struct request *);

#define request_of(tracepoint, context) \
	((struct request *)(context)[bpf_core_type_exists(btf_trace_##tracepoint##___before_5_11) ? 1 : 0])

static __always_inline bool has_subject(void)
{
	return filter.pid || filter.tid || filter.has_uid || filter.has_comm || filter.has_targets || filter.cgroup_id;
}

/* The first event of a request: makes its entry. `is_known` says that this runs in the task that asks for it. */
static __always_inline int begin(struct request *request, bool is_known, bool is_issued)
{
	struct pending new = {
		.time_ns = bpf_ktime_get_ns(),
		.is_wanted = !has_subject() || (is_known && filter_current()),
		.is_issued = is_issued,
	};
	__u64 key = (__u64)request;

	if (!bpf_map_update_elem(&requests, &key, &new, BPF_NOEXIST))
		return 0;
	/* Either the map is full, or an earlier request in this memory was never completed: its device went away. */
	if (!bpf_map_update_elem(&requests, &key, &new, BPF_EXIST))
		return remark(SWTRACE_UNFINISHED);
	/* Not counted here: a request may come by several times, but is completed once. */
	has_refused = true;
	return 0;
}

/* Whether a request that has no entry is one for which there was no room: it began while tracing. The kernel does not note the time
 * where it keeps no statistics of the disk. */
static __always_inline bool was_refused(bool typed, struct request *request)
{
	__u64 began_ns;

	if (!has_refused)
		return false;
	/* Such an empty request only asks for a flush and is never issued itself. */
	if (!read_member(typed, request, __data_len) && (read_member(typed, request, cmd_flags) & BIOLATENCY_OPERATION) == REQ_OP_WRITE)
		return false;
	began_ns = read_member(typed, request, start_time_ns);
	return !began_ns || began_ns >= config.since_ns;
}

/* Only without block_io_start, and only if the time before the issue, or the task, is of interest. */
static __always_inline int handle_insert(struct request *request)
{
	__u64 key = (__u64)request;
	struct pending *pending = bpf_map_lookup_elem(&requests, &key);

	if (pending && pending->is_requeued)
		return 0;
	return begin(request, true, false);
}

static __always_inline int handle_issue(bool typed, struct request *request)
{
	struct pending *pending;
	__u64 key = (__u64)request;

	pending = bpf_map_lookup_elem(&requests, &key);
	if (pending) {
		if (!config.queued)
			pending->time_ns = bpf_ktime_get_ns();
		pending->is_issued = 1;
		pending->is_requeued = 0;
		return 0;
	}
	/* Only flushes, which the kernel makes by itself, have no start; others began before tracing, or were lost. */
	if (config.has_start && (read_member(typed, request, cmd_flags) & BIOLATENCY_OPERATION) != REQ_OP_FLUSH)
		return 0;
	return begin(request, !config.has_start, true);
}

static __always_inline int handle_requeue(struct request *request)
{
	__u64 key = (__u64)request;
	struct pending *pending = bpf_map_lookup_elem(&requests, &key);

	if (pending)
		pending->is_requeued = 1;
	return 0;
}

static __always_inline int handle_merge(struct request *request)
{
	__u64 key = (__u64)request;

	bpf_map_delete_elem(&requests, &key);
	return 0;
}

/* The disk as the kernel's dev_t; BIOLATENCY_NO_DISK for requests to a device without one. */
static __always_inline __u32 disk_of(bool typed, struct request *request)
{
	struct request___before_5_17 *old = (void *)request;
	struct gendisk *disk;

	if (bpf_core_field_exists(old->rq_disk)) {
		disk = read_member(typed, old, rq_disk);
	} else {
		struct request_queue *queue = read_member(typed, request, q);

		disk = read_member(typed, queue, disk);
	}
	if (!disk)
		return BIOLATENCY_NO_DISK;
	return (__u32)read_member(typed, disk, major) << 20 | (__u32)read_member(typed, disk, first_minor);
}

static __always_inline int handle_complete(bool typed, struct request *request, unsigned int bytes)
{
	__u64 key = (__u64)request, histogram_key = 0;
	struct pending *pending = bpf_map_lookup_elem(&requests, &key);
	__u32 disk = BIOLATENCY_NO_DISK;
	struct pending ended = {};
	struct moment now;
	__s64 took;

	/* The length is what is left of the request, before this completion is subtracted. */
	if (bytes < read_member(typed, request, __data_len))
		return 0;
	if (pending) {
		ended = *pending;
		bpf_map_delete_elem(&requests, &key);
		/* An empty request that only asks for a flush is never issued itself. */
		if (!ended.is_issued)
			return 0;
	} else if (!was_refused(typed, request)) {
		return 0;
	}
	now = see();
	if (pending && !ended.is_wanted)
		return count(now, SWTRACE_FILTERED);
	if (config.has_disk || config.per_disk)
		disk = disk_of(typed, request);
	if (config.has_disk && disk != config.disk)
		return count(now, SWTRACE_FILTERED);
	if (!pending)
		return count(now, SWTRACE_LOST_MAP_FULL);
	took = bpf_ktime_get_ns() - ended.time_ns;
	/* Clocks of two processors may disagree by some nanoseconds. */
	if (took < 0)
		took = 0;
	if (config.per_disk)
		histogram_key = (__u64)disk << 32;
	if (config.per_flags)
		histogram_key |= read_member(typed, request, cmd_flags) & BIOLATENCY_FLAGS;
	return histogram_add(now, histogram_key, took, NULL);
}

SEC("tp_btf/block_io_start")
int start_btf(__u64 *context) { return begin((struct request *)context[0], true, false); }

SEC("raw_tp/block_io_start")
int start_raw(__u64 *context) { return begin((struct request *)context[0], true, false); }

SEC("tp_btf/block_rq_insert")
int insert_btf(__u64 *context) { return handle_insert(request_of(block_rq_insert, context)); }

SEC("raw_tp/block_rq_insert")
int insert_raw(__u64 *context) { return handle_insert(request_of(block_rq_insert, context)); }

SEC("tp_btf/block_rq_issue")
int issue_btf(__u64 *context) { return handle_issue(true, request_of(block_rq_issue, context)); }

SEC("raw_tp/block_rq_issue")
int issue_raw(__u64 *context) { return handle_issue(false, request_of(block_rq_issue, context)); }

SEC("tp_btf/block_rq_requeue")
int requeue_btf(__u64 *context) { return handle_requeue(request_of(block_rq_requeue, context)); }

SEC("raw_tp/block_rq_requeue")
int requeue_raw(__u64 *context) { return handle_requeue(request_of(block_rq_requeue, context)); }

SEC("tp_btf/block_rq_merge")
int merge_btf(__u64 *context) { return handle_merge(request_of(block_rq_merge, context)); }

SEC("raw_tp/block_rq_merge")
int merge_raw(__u64 *context) { return handle_merge(request_of(block_rq_merge, context)); }

/* (request, error, bytes) on all kernels; only the error's type differs. */
SEC("tp_btf/block_rq_complete")
int complete_btf(__u64 *context) { return handle_complete(true, (struct request *)context[0], context[2]); }

SEC("raw_tp/block_rq_complete")
int complete_raw(__u64 *context) { return handle_complete(false, (struct request *)context[0], context[2]); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
