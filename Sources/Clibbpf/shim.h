/* libbpf for Swift: what the importer cannot call by itself. */
#pragma once
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libbpf reports through a callback with a va_list, which Swift can receive on some architectures only. */
typedef void (*swtrace_log_line)(int level, const char *text);

/* Inside a function, because the importer emits no variables of a header. */
static inline swtrace_log_line *swtrace_log_target(void)
{
	static swtrace_log_line target;

	return &target;
}

static inline int swtrace_log_format(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char text[4096];

	vsnprintf(text, sizeof(text), format, arguments);
	if (*swtrace_log_target())
		(*swtrace_log_target())((int)level, text);
	return 0;
}

static inline void swtrace_log_to(swtrace_log_line target)
{
	*swtrace_log_target() = target;
	libbpf_set_print(swtrace_log_format);
}

/* Opens the perf event of a kprobe, uprobe or tracepoint, for one process or (with -1) for all; closed on exec.
 * What config1 and config2 mean depends on the type (perf_event_open(2)). */
static inline int swtrace_open_event(
	unsigned type, unsigned long long config, unsigned long long config1, unsigned long long config2, int process)
{
	struct perf_event_attr attributes;

	memset(&attributes, 0, sizeof(attributes));
	attributes.size = sizeof(attributes);
	attributes.type = type;
	attributes.config = config;
	attributes.config1 = config1;
	attributes.config2 = config2;
	attributes.sample_period = 1;
	attributes.wakeup_events = 1;
	return (int)syscall(SYS_perf_event_open, &attributes, process, process < 0 ? 0 : -1, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Variadic, so not imported. */
static inline int swtrace_set_program(int event, int program) { return ioctl(event, PERF_EVENT_IOC_SET_BPF, program); }
static inline int swtrace_enable_event(int event) { return ioctl(event, PERF_EVENT_IOC_ENABLE, 0); }
static inline int swtrace_disable_event(int event) { return ioctl(event, PERF_EVENT_IOC_DISABLE, 0); }

/* Attaches a program to many places of a file with one link; BPF_LINK_CREATE as of kernel 6.6, which older headers and libbpf lack.
 * Returns the link or a negative errno. */
static inline int swtrace_link_uprobes(
	int program, const char *path, const unsigned long long *offsets, const unsigned long long *counters,
	const unsigned long long *cookies, unsigned count, int has_counters, int at_return, unsigned process)
{
	struct {
		unsigned program, target, attach_type, flags;
		unsigned long long path, offsets, counters, cookies;
		unsigned count, uprobe_flags, process, padding;
	} attributes;
	int link;

	memset(&attributes, 0, sizeof(attributes));
	attributes.program = (unsigned)program;
	attributes.attach_type = 48;                                            /* BPF_TRACE_UPROBE_MULTI */
	attributes.path = (unsigned long)path;
	attributes.offsets = (unsigned long)offsets;
	attributes.counters = has_counters ? (unsigned long)counters : 0;       /* without any semaphore the kernel wants no list */
	attributes.cookies = (unsigned long)cookies;
	attributes.count = count;
	attributes.uprobe_flags = at_return ? 1 : 0;                            /* BPF_F_UPROBE_MULTI_RETURN */
	attributes.process = process;
	link = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
	return link < 0 ? -errno : link;
}

/* Events of a link that the kernel could not hand to its program; struct bpf_link_info since 6.7, which older headers lack. */
static inline unsigned long long swtrace_link_missed(int link)
{
	unsigned char info[256];
	unsigned size = sizeof(info), type, perf_type;
	unsigned long long missed = 0;

	memset(info, 0, sizeof(info));
	if (bpf_obj_get_info_by_fd(link, info, &size))
		return 0;
	memcpy(&type, info, sizeof(type));
	memcpy(&perf_type, info + 16, sizeof(perf_type));
	if (type == 8 && size >= 40)                                            /* BPF_LINK_TYPE_KPROBE_MULTI */
		memcpy(&missed, info + 32, sizeof(missed));
	else if (type == 7 && (perf_type == 3 || perf_type == 4) && size >= 56) /* BPF_LINK_TYPE_PERF_EVENT of a kprobe, kretprobe */
		memcpy(&missed, info + 48, sizeof(missed));
	return missed;
}
