// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bashreadline: one event for each line that a shell's readline returns.
 *
 * Hook: a uretprobe on `readline` in the shell or in the library. Whatever runs that file is traced, under any name.
 */
#include "kernel.h"
#include "bashreadline.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "pieces.h"

#define PIECE 4096
#define PIECES 64                       /* 256 KiB: longer lines are cut */

static __always_inline int send_line(struct moment now, __u64 time_ns, __u32 length, __u32 flags, struct bashreadline_event *event)
{
	event->time_ns = time_ns;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->uid = (__u32)bpf_get_current_uid_gid();
	event->length = length;
	event->flags = flags;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	return submit_event(now, event, sizeof(*event) + PIECE);
}

SEC("uretprobe")
int line_return(struct pt_regs *registers)
{
	const char *line = (const char *)PT_REGS_RC(registers);
	__u64 time_ns = bpf_ktime_get_ns();
	struct bashreadline_event *event;
	__u32 flags = BASHREADLINE_CUT;
	struct moment now;
	long size;

	/* The end of the input. */
	if (!line)
		return 0;
	now = see();
	if (!filter_current())
		return count(now, SWTRACE_FILTERED);
	event = reserve_event(now, sizeof(*event) + PIECE);
	if (!event)
		return 0;
	size = bpf_probe_read_user_str(event + 1, PIECE, line);
	if (size < 0)
		count(now, SWTRACE_TRUNCATED_TEXT);
	if (size < PIECE)
		return send_line(now, time_ns, size > 0 ? size - 1 : 0, size < 0 ? BASHREADLINE_CUT : 0, event);
	bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);

	for (int i = 0; i < PIECES; i++) {
		struct swtrace_piece *piece = reserve_event(now, sizeof(*piece) + PIECE);

		if (!piece)
			return 0;
		piece->mark = SWTRACE_PIECE;
		piece->time_ns = time_ns;
		piece->pid = bpf_get_current_pid_tgid() >> 32;
		size = bpf_probe_read_user_str(piece + 1, PIECE, line);
		piece->length = size > 0 ? size - 1 : 0;
		bpf_ringbuf_submit(piece, wake_flag(sizeof(*piece) + PIECE));
		if (size < PIECE) {
			flags = size < 0 ? BASHREADLINE_CUT : 0;
			break;
		}
		line += PIECE - 1;
	}
	if (flags)
		count(now, SWTRACE_TRUNCATED_TEXT);
	event = reserve_event(now, sizeof(*event) + PIECE);
	return event ? send_line(now, time_ns, 0, flags, event) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
