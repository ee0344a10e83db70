// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The kernel types the probes read, picked by hand.
 *
 * CO-RE relocates by name, so a partial struct is enough: only the members that some probe reads stand here,
 * in any order. The offsets are those of the kernel that loads the probe. Where a member was renamed or moved,
 * both forms stand here with the versions, and the probe asks bpf_core_field_exists().
 */
#pragma once

/* Makes bpf_tracing.h use the kernel's register names instead of user space's. */
#define __VMLINUX_H__

typedef unsigned char __u8;
typedef signed char __s8;
typedef unsigned short __u16;
typedef short __s16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef _Bool bool;
typedef unsigned long size_t;

#define true 1
#define false 0
#define NULL ((void *)0)

/* enum bpf_map_type and the flags of include/uapi/linux/bpf.h that the probes use. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_RINGBUF = 27,
};
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };
enum { BPF_F_NO_PREALLOC = 1, BPF_F_MMAPABLE = 1 << 10 };
enum { BPF_RB_NO_WAKEUP = 1, BPF_RB_FORCE_WAKEUP = 2 };
enum { BPF_RB_AVAIL_DATA = 0, BPF_RB_RING_SIZE = 1 };
enum { BPF_F_USER_STACK = 1 << 8 };
/* Helpers that not every kernel has; the probe asks bpf_core_enum_value_exists(). */
enum bpf_func_id { BPF_FUNC_get_attach_cookie = 174, BPF_FUNC_task_pt_regs = 175 };

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* The registers of an interrupted or entered task; arch/ARCH/include/asm/ptrace.h. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
	__u64 sp, pc, pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
	__u64 orig_x0;
	__s32 syscallno;
};
struct pt_regs___arm64 {
	unsigned long orig_x0;
};
#endif

struct kernfs_node {
	__u64 id;               /* the inode number of the cgroup's folder */
	const char *name;
	struct kernfs_node *__parent;   /* since 6.15 */
};

struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

struct cgroup {
	struct kernfs_node *kn;
	int level;              /* 0 for the root */
	struct cgroup *ancestors[];     /* since 6.1; [level] is the cgroup itself */
};

struct cgroup___before_6_1 {
	__u64 ancestor_ids[];
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

/* Its numbers depend on what the kernel was built with. */
enum cgroup_subsys_id { memory_cgrp_id = 4 };

struct css_set {
	struct cgroup_subsys_state *subsys[8];  /* by enum cgroup_subsys_id */
	struct cgroup *dfl_cgrp;        /* of the v2 hierarchy, on hybrid systems too */
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct percpu_counter {
	__s64 count;            /* without what the processors have not added yet */
};

typedef struct {
	__s64 counter;
} atomic_long_t;

struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct {
	unsigned long start_stack, arg_start, arg_end, total_vm;
	atomic_long_t pgtables_bytes;
	struct percpu_counter rss_stat[4];      /* pages of files, anonymous, swapped out, shared memory; since 6.2 */
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

struct hlist_node {
	struct hlist_node *next;
};

typedef struct {
	int counter;
} atomic_t;

struct ns_common {
	unsigned int inum;
};

struct pid_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct pid_namespace *pid_ns_for_children;
};

struct signal_struct {
	atomic_t live;          /* threads that have not begun to exit */
	int group_exit_code;
	unsigned int flags;
	short oom_score_adj;
};

struct thread_info {
	unsigned long flags;
	__u32 status;           /* x86 */
};

struct thread_struct {
	unsigned long fsbase;   /* x86-64: the thread pointer */
};

struct rq {
	__u64 nr_switches;
	__u64 clock;            /* ns; brought up to date before each choice of the next task */
};

struct cfs_rq {
	struct rq *rq;          /* with CONFIG_FAIR_GROUP_SCHED */
};

/* What the scheduler itself notes of a task's waits for a processor, in ns of `rq.clock`; with CONFIG_SCHED_INFO. */
struct sched_info {
	unsigned long long run_delay;   /* all waits up to the last coming, and the parts of this one in other queues */
	unsigned long long last_queued; /* when it came into this queue; 0 when it runs, sleeps, or was preempted on its way to sleep */
};

struct sched_entity {
	struct cfs_rq *cfs_rq;  /* of the task's processor, whatever its scheduling class; with CONFIG_FAIR_GROUP_SCHED */
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;   /* since 5.14 */
	int pid, tgid;
	struct sched_info sched_info;
	unsigned int on_cpu;    /* not 0 until the last switch from it is done; a byte since 7.1 */
	int exit_code;
	unsigned int flags;
	__u64 start_time;       /* CLOCK_MONOTONIC */
	__u64 start_boottime;   /* CLOCK_BOOTTIME; since 5.5 */
	unsigned long nvcsw, nivcsw;    /* how often it has left a processor: by itself, and because it had to */
	struct sched_entity se;
	char comm[16];
	struct task_struct *group_leader, *real_parent;
	const struct cred *cred, *real_cred;
	struct mm_struct *mm;
	struct css_set *cgroups;
	struct signal_struct *signal;
	struct files_struct *files;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	void *stack;            /* its lowest address */
	struct thread_struct thread;
};

struct task_struct___before_5_14 {
	long state;
};

/* What an iterator over tasks is given; its members are never renamed. */
struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;       /* null at the end */
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct fs_struct {
	struct path root, pwd;
};

struct linux_binprm {
	const char *filename;   /* as given to execve; of execveat with a descriptor /dev/fd/N */
	const char *interp;     /* the same pointer, except for scripts */
};

/* Block layer. */
struct gendisk {
	int major, first_minor;
};

struct request_queue {
	struct gendisk *disk;           /* since 5.15; null for queues without a disk */
};

struct block_device {
	__u32 bd_dev;
};

struct request {
	struct request_queue *q;
	unsigned int cmd_flags;         /* operation in the low 8 bits, then the REQ_ flags */
	__u64 __sector, start_time_ns;  /* CLOCK_MONOTONIC */
	unsigned int __data_len;
	struct block_device *part;      /* since 5.12 */
};

struct request___before_5_17 {
	struct gendisk *rq_disk;
};

/* Where memory ran out. */
enum oom_constraint { CONSTRAINT_NONE, CONSTRAINT_CPUSET, CONSTRAINT_MEMORY_POLICY, CONSTRAINT_MEMCG };

struct oom_control {
	unsigned long totalpages;
	struct task_struct *chosen;
	enum oom_constraint constraint;
};

/* Network. Addresses and remote ports are in network byte order. */
struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;                  /* the local port, in the machine's byte order; 0 when it was given back */
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct in6_addr skc_v6_daddr, skc_v6_rcv_saddr; /* with CONFIG_IPV6 */
};

struct sock_cgroup_data {
	struct cgroup *cgroup;          /* of the v2 hierarchy */
};

struct sock_cgroup_data___before_5_15 {
	__u64 val;                      /* the same; or with one of the two lowest bits something else */
};

/* include/uapi/linux/net.h; the numbers are part of the kernel's interface. */
typedef enum { SS_FREE, SS_UNCONNECTED } socket_state;

struct socket {
	socket_state state;
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;       /* what a program has; null when it has closed it */
	int sk_err;
	__u8 sk_shutdown;
	__u16 sk_protocol;
	kuid_t sk_uid;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sock___before_5_15 {
	struct sock_cgroup_data___before_5_15 sk_cgrp_data;
};

struct inet_sock {
	__be16 inet_sport;              /* stays when the port is given back */
};

struct inet_connection_sock {
	__u8 icsk_ca_state : 5;
	__u8 icsk_pending;
};

struct request_sock {
	struct sock_common __req_common;
};

struct tcp_request_sock {
	__u32 snt_isn;
};

struct sk_buff {
	char cb[48];                    /* of the protocol; TCP's is struct tcp_skb_cb */
};

struct tcp_skb_cb {
	__u32 seq, end_seq;
	__u16 tcp_gso_segs;             /* segments that it is cut into when it is sent */
};

struct tcp_sock {
	__u32 total_retrans;
	__u32 srtt_us;                  /* in eighths of a microsecond */
};

#pragma clang attribute pop

#if defined(__TARGET_ARCH_x86)
/* The registers as user space has always had them (arch/x86/include/uapi/asm/ptrace.h), where nothing is to be relocated. */
struct user_registers {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

/* What programs of perf events are given (include/uapi/linux/bpf_perf_event.h). */
struct bpf_perf_event_data {
	struct user_registers regs;
	__u64 sample_period, addr;
};
#endif

#define container_of(pointer, type, member) ((type *)((char *)(pointer) - __builtin_offsetof(type, member)))
