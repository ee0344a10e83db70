/* libbpf for Swift: what the importer cannot call by itself. */
#pragma once
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>
#include <stdio.h>

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
