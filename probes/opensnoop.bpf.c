// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* opensnoop: one event for each open, openat, openat2 and creat that returns.
 *
 * Hook: raw_syscalls sys_exit, as tp_btf or as raw tracepoint. At the exit the path is in memory (the kernel has just
 * read it) and the result is known, so the entry needs no hook and no open is lost between two of them.
 */
#include "kernel.h"
#include "opensnoop.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "path.bpf.h"
#include "syscall.bpf.h"

SEC(".rodata.config") const volatile struct opensnoop_config config = {};

#define AT_FDCWD (-100)

struct scratch {
	struct opensnoop_event event;
	char text[OPENSNOOP_PATH + PATH_NAMES + PATH_NAME];
	__u64 callers[OPENSNOOP_CALLERS];
};

/* Too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* struct open_how of openat2(2). */
struct opensnoop_how {
	__u64 flags, mode;
};

enum opening { NO_OPENING, OPEN, CREAT, OPENAT, OPENAT2 };

/* What a number means to the interface that it came through. */
static __always_inline enum opening opening_of(bool compat, int number)
{
	if (number == (compat ? COMPAT_OPENAT : SYSCALL_OPENAT))
		return OPENAT;
	if (number == (compat ? COMPAT_OPEN : SYSCALL_OPEN))
		return OPEN;
	if (number == (compat ? COMPAT_OPENAT2 : SYSCALL_OPENAT2))
		return OPENAT2;
	return number == (compat ? COMPAT_CREAT : SYSCALL_CREAT) ? CREAT : NO_OPENING;
}

/* Whether the current task's name contains the wanted text. */
static __always_inline bool is_named(void)
{
	char comm[SWTRACE_COMM_LENGTH];

	bpf_get_current_comm(comm, sizeof(comm));
	for (int start = 0; start < SWTRACE_COMM_LENGTH; start++) {
		for (int i = 0; start + i < SWTRACE_COMM_LENGTH; i++) {
			if (!config.name[i])
				return true;
			if (comm[start + i] != config.name[i])
				break;
		}
	}
	return false;
}

/* The file of a descriptor of the current task. */
static __always_inline struct file *file_of(int descriptor)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL, **files = BPF_CORE_READ(table, fd);

	if (descriptor >= 0 && (__u32)descriptor < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), files + descriptor);
	return file;
}

/* Appends the folder that a relative path starts at to `text`. Returns the bytes added, or negative. */
static __always_inline int append_folder(int folder, char *text, __u64 length)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct path_walk *walk;

	if (folder == AT_FDCWD) {
		struct fs_struct *fs = BPF_CORE_READ(task, fs);

		walk = walk_path(&fs->pwd);
	} else {
		struct file *file = file_of(folder);

		walk = file ? walk_path(&file->f_path) : NULL;
	}
	if (!walk || walk->length > PATH_NAMES || length > OPENSNOOP_PATH)
		return -1;
	bpf_probe_read_kernel(text + length, walk->length, walk->names);
	return walk->length;
}

/* Appends the user stack to `text`. Returns the bytes added. */
static __always_inline __u64 append_callers(struct moment now, void *ctx, struct scratch *room, __u64 length)
{
	long bytes = bpf_get_stack(ctx, room->callers, sizeof(room->callers), BPF_F_USER_STACK);

	if (bytes <= 0 || bytes > (long)sizeof(room->callers) || length > OPENSNOOP_PATH + PATH_NAMES) {
		count(now, SWTRACE_MISSING_USER_STACK);
		return 0;
	}
	bpf_probe_read_kernel(room->text + length, bytes, room->callers);
	room->event.callers = bytes / sizeof(__u64);
	return bytes;
}

static __always_inline int handle_exit(void *ctx, bool typed, struct pt_regs *regs, long result)
{
	int number = syscall_number(typed, regs);
	enum opening opening;
	struct scratch *room;
	const char *path;
	struct moment now;
	__u64 flags, mode;
	int folder = AT_FDCWD;
	__u32 zero = 0;
	long length;
	bool compat;

	/* The interface is asked for only where it matters: this runs for every system call. */
	if (!opening_of(false, number) && !opening_of(true, number))
		return 0;
	compat = is_compat(false, (void *)bpf_get_current_task());
	opening = opening_of(compat, number);
	if (!opening)
		return 0;

	now = see();
	if (config.failed_only && (int)result >= 0)
		return count(now, SWTRACE_FILTERED);
	if (!filter_current() || (config.has_name && !is_named()))
		return count(now, SWTRACE_FILTERED);
	room = bpf_map_lookup_elem(&scratch, &zero);
	if (!room)
		return count(now, SWTRACE_LOST_SCRATCH);

	if (opening == OPENAT || opening == OPENAT2) {
		folder = (int)syscall_argument(compat, regs, 1);
		path = (const char *)syscall_argument(compat, regs, 2);
		flags = syscall_argument(compat, regs, 3);
		mode = syscall_argument(compat, regs, 4);
		if (opening == OPENAT2) {
			struct opensnoop_how how = {};

			bpf_probe_read_user(&how, sizeof(how), (void *)flags);
			flags = how.flags;
			mode = how.mode;
		}
	} else {
		path = (const char *)syscall_argument(compat, regs, 1);
		flags = opening == CREAT ? 01101 : syscall_argument(compat, regs, 2);      /* O_CREAT | O_WRONLY | O_TRUNC */
		mode = syscall_argument(compat, regs, opening == CREAT ? 2 : 3);
	}

	room->event.time_ns = bpf_ktime_get_ns();
	room->event.pid = bpf_get_current_pid_tgid() >> 32;
	room->event.tid = (__u32)bpf_get_current_pid_tgid();
	room->event.uid = (__u32)bpf_get_current_uid_gid();
	room->event.result = result;
	room->event.flags = flags;
	room->event.mode = mode;
	room->event.prefix_length = 0;
	room->event.has_folder = 0;
	room->event.callers = 0;
	__builtin_memset(room->event.reserved, 0, sizeof(room->event.reserved));
	bpf_get_current_comm(room->event.comm, sizeof(room->event.comm));
	length = bpf_probe_read_user_str(room->text, OPENSNOOP_PATH, path);
	if (length < 0 || length > OPENSNOOP_PATH) {
		count(now, SWTRACE_TRUNCATED_TEXT);
		length = 0;
	}
	room->event.path_length = length;

	if (config.full_path && length > 0 && room->text[0] != '/') {
		int prefix = append_folder(folder, room->text, length);

		if (prefix < 0) {
			count(now, SWTRACE_TRUNCATED_TEXT);
			prefix = 0;
		} else {
			room->event.has_folder = 1;
		}
		room->event.prefix_length = prefix;
		length += prefix;
	}
	if (length < 0 || length > OPENSNOOP_PATH + PATH_NAMES)
		length = 0;
	if (config.callers) {
		length += append_callers(now, ctx, room, length);
		if (length < 0 || length > (long)sizeof(room->text))
			length = 0;
	}
	return send_event(now, room, sizeof(room->event) + length);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(exit_btf, struct pt_regs *regs, long result) { return handle_exit(ctx, true, regs, result); }

SEC("raw_tp/sys_exit")
int BPF_PROG(exit_raw, struct pt_regs *regs, long result) { return handle_exit(ctx, false, regs, result); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
