/* System calls and macros that Swift's Glibc module does not bring. */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/membarrier.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* glibc has no wrapper. */
static inline int swtrace_perf_event_open(struct perf_event_attr *attributes, int pid, int cpu, int group, unsigned long flags)
{
	return (int)syscall(SYS_perf_event_open, attributes, pid, cpu, group, flags);
}

/* Bit fields are not imported. */
static inline void swtrace_set_without_idle(struct perf_event_attr *attributes, int is_without)
{
	attributes->exclude_idle = is_without;
}

/* glibc 2.36 has the wrapper, but not its header in every distribution. */
static inline int swtrace_pidfd_open(int pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* glibc 2.30; its header shows it to programs that ask for GNU's extensions. */
int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until);

static inline int swtrace_wait(void *semaphore, unsigned long nanoseconds)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	nanoseconds += until.tv_nsec;
	until.tv_sec += nanoseconds / 1000000000;
	until.tv_nsec = nanoseconds % 1000000000;
	while (sem_clockwait(semaphore, CLOCK_MONOTONIC, &until))
		if (errno != EINTR)
			return -1;
	return 0;
}

/* Waits for an RCU grace period (kernel/sched/membarrier.c); glibc has no wrapper. */
static inline int swtrace_membarrier_global(void)
{
	return (int)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static inline int swtrace_gettid(void)
{
	return (int)syscall(SYS_gettid);
}

/* Variadic, which Swift cannot call. */
static inline int swtrace_prctl(int operation, unsigned long first, unsigned long second)
{
	return prctl(operation, first, second, 0, 0);
}

/* Gives the calling thread these capabilities as effective and permitted, and none to inherit; glibc has no wrapper. */
static inline int swtrace_set_capabilities(unsigned long long set)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ .effective = (__u32)set, .permitted = (__u32)set },
		{ .effective = (__u32)(set >> 32), .permitted = (__u32)(set >> 32) },
	};

	return (int)syscall(SYS_capset, &header, data);
}

/* Of the calling thread; the permitted and inheritable ones stay. */
static inline void swtrace_set_effective(unsigned long long set)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return;
	data[0].effective = (__u32)set;
	data[1].effective = (__u32)(set >> 32);
	syscall(SYS_capset, &header, data);
}

/* RLIMIT_MEMLOCK is of a type that Swift does not see. */
static inline void swtrace_lift_locked_memory(void)
{
	const struct rlimit none = { .rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &none);
}

/* Of the calling thread. */
static inline void swtrace_name_thread(const char *name)
{
	prctl(PR_SET_NAME, name, 0, 0, 0);
}

/* Both ends close on exec. Declared by unistd.h for GNU programs only. */
static inline int swtrace_pipe(int ends[2])
{
	return (int)syscall(SYS_pipe2, ends, O_CLOEXEC);
}

/* The magic number of the file system that a path is on (linux/magic.h), or -1; struct and function share a name. */
static inline long swtrace_filesystem_type(const char *path)
{
	struct statfs status;

	return statfs(path, &status) ? -1 : (long)status.f_type;
}

/* Starts a command that waits for a byte on `gate` before it becomes the program, so that tracing can begin first.
 *
 * Swift cannot fork. When the program cannot be started, its errno is written to `report` and the child ends with 127.
 * `opener` is the other end of the gate: closed in the child, so that the tracer's death ends the wait. All descriptors must be
 * close-on-exec. Returns the child's pid, or -1 with errno. */
static inline int swtrace_fork_gated(const char *path, char *const arguments[], int gate, int opener, int report)
{
	int child = fork();

	if (child == 0) {
		char go;
		sigset_t none;

		close(opener);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, 0);
		signal(SIGPIPE, SIG_DFL);
		if (read(gate, &go, 1) != 1)
			_exit(127);
		execvp(path, arguments);
		int error = errno;
		(void)!write(report, &error, sizeof(error));
		_exit(127);
	}
	return child;
}

/* CLOCK_MONOTONIC, in nanoseconds. */
static inline unsigned long long swtrace_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static inline unsigned long long *swtrace_exit_after(void)
{
	static unsigned long long time;

	return &time;
}

static inline void swtrace_exit_when_late(int signal)
{
	if (swtrace_monotonic() >= *swtrace_exit_after())
		_exit(128 + signal);
}

/* SIGINT, SIGTERM and SIGHUP end the program without further work, but not in the next half second. */
static inline void swtrace_exit_on_next_signal(void)
{
	struct sigaction action = { .sa_handler = swtrace_exit_when_late, .sa_flags = SA_RESTART };

	*swtrace_exit_after() = swtrace_monotonic() + 500000000ULL;
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, 0);
	sigaction(SIGTERM, &action, 0);
	sigaction(SIGHUP, &action, 0);
}

/* Gives back this program's code pages; those that are still needed come back from the page cache one by one. */
static inline void swtrace_release_code(void)
{
	/* From the linker. */
	extern const char __executable_start, etext;
	unsigned long page = (unsigned long)sysconf(_SC_PAGESIZE);
	unsigned long start = (unsigned long)&__executable_start & ~(page - 1), end = (unsigned long)&etext & ~(page - 1);

	madvise((void *)start, end - start, MADV_DONTNEED);
}

/* malloc.h's. */
extern int malloc_trim(size_t);
extern int mallopt(int, int);
/* What is large goes back to the kernel as soon as it is freed. Else the limit grows with the first freed piece, up to 32 MB, and tables
 * that are needed for a moment only stay with the program. */
static inline void swtrace_return_large(void) { mallopt(-3 /* M_MMAP_THRESHOLD */, 256 << 10); }
static inline void swtrace_release_freed(void) { malloc_trim(0); }

/* Function-like macros are not imported. */
static inline int swtrace_wait_exited(int status) { return WIFEXITED(status); }
static inline int swtrace_wait_status(int status) { return WEXITSTATUS(status); }
static inline int swtrace_wait_signal(int status) { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }

/* Names of errors ("ENOENT") and signals ("KILL"), or null; glibc 2.32, declared by string.h for GNU programs only. */
extern const char *strerrorname_np(int error);
extern const char *sigabbrev_np(int signal);
static inline const char *swtrace_error_name(int error) { return strerrorname_np(error); }
static inline const char *swtrace_signal_name(int signal) { return sigabbrev_np(signal); }

/* glibc has no wrapper for openat2; RESOLVE_IN_ROOT keeps links of a container inside it. */
static inline int swtrace_open_in_root(int root, const char *path, unsigned long long flags)
{
	struct open_how how = { .flags = flags, .resolve = RESOLVE_IN_ROOT };

	return (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
}

/* A file without a name in a folder, to write to; O_TMPFILE is a macro of GNU programs only. */
static inline int swtrace_open_unnamed(const char *folder, unsigned int mode)
{
	return open(folder, __O_TMPFILE | O_DIRECTORY | O_WRONLY | O_CLOEXEC, mode);
}

/* Opens a file by name without any effect on it, so that it can be looked at first (O_PATH). */
static inline int swtrace_open_reference(const char *path, int flags)
{
	return open(path, 010000000 | O_CLOEXEC | flags);
}

static inline int swtrace_open_reference_in_root(int root, const char *path)
{
	return swtrace_open_in_root(root, path, 010000000 | O_CLOEXEC);
}

/* The magic number of the file system that an open file is on, or -1. */
static inline long swtrace_filesystem_type_of(int file)
{
	struct statfs status;

	return fstatfs(file, &status) ? -1 : (long)status.f_type;
}

/* O_PATH belongs to _GNU_SOURCE, which must stay undefined here: Swift System's C module is built without it, and both see fd_set. */
static inline int swtrace_open_place(const char *path)
{
	return open(path, 010000000 | O_DIRECTORY | O_CLOEXEC);
}

/* Opens a cgroup by its id, somewhere below where an open file is. The structure of open_by_handle_at(2) is one of GNU programs only. */
static inline int swtrace_open_cgroup(int root, unsigned long long id)
{
	struct {
		unsigned int bytes;
		int type;
		unsigned long long id;
	} handle = { .bytes = sizeof(id), .type = 0xfe, .id = id };

	return (int)syscall(SYS_open_by_handle_at, root, &handle, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Opens the stream of one processor's exec, fork, exit and mapping records, which a reader maps (perf_event_open(2)). Bit fields are not
 * imported. Times are CLOCK_MONOTONIC, as BPF programs have them. Nobody is woken before the ring is half full. */
static inline int swtrace_process_records_open(int cpu)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attributes),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TID | PERF_SAMPLE_TIME,
		.mmap = 1,
		.comm = 1,
		.task = 1,
		.sample_id_all = 1,
		.mmap2 = 1,
		.comm_exec = 1,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};

	return swtrace_perf_event_open(&attributes, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* The positions of a perf ring: the kernel writes data_head, the reader data_tail (linux/perf_event.h). */
static inline unsigned long long swtrace_perf_ring_head(const struct perf_event_mmap_page *page)
{
	return __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE);
}

static inline void swtrace_perf_ring_release(struct perf_event_mmap_page *page, unsigned long long tail)
{
	__atomic_store_n(&page->data_tail, tail, __ATOMIC_RELEASE);
}
