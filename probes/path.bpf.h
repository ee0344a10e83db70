// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The names of a path from the inside out: "name", "folder", ... each ended by a zero, the root left out.
 *
 * Walked in the kernel while the file is there: what /proc/PID/fd says later may be gone or another file.
 */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define PATH_NAME 256                   /* NAME_MAX and its zero */
#define PATH_NAMES 4096                 /* bytes of all names; a power of two, for the verifier */
#define PATH_DEPTH 64                   /* folders and mount points; deeper paths count as cut */

struct path_walk {
	struct dentry *dentry;
	struct mount *mount;
	__u32 length;                   /* of names, so far */
	char names[PATH_NAMES + PATH_NAME];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct path_walk);
} path_walks SEC(".maps");

/* One name, or one mount point crossed: 1 to go on, 0 at the root, negative when cut.
 *
 * Not inlined, and its state in a map: the verifier then checks it once instead of once for each way through the loop, which
 * would exceed its limit. Kernel 5.10 allows such functions numbers only, so it has one that it does not use. */
__attribute__((noinline)) int path_step(int unused)
{
	__u32 zero = 0;
	struct path_walk *walk = bpf_map_lookup_elem(&path_walks, &zero);
	struct dentry *dentry, *parent;
	struct mount *mount;
	long size;

	if (!walk)
		return -1;
	dentry = walk->dentry;
	mount = walk->mount;
	parent = BPF_CORE_READ(dentry, d_parent);
	if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
		struct mount *outer = BPF_CORE_READ(mount, mnt_parent);

		if (outer == mount)
			return 0;
		walk->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
		walk->mount = outer;
		return 1;
	}
	if (walk->length >= PATH_NAMES)
		return -1;
	size = bpf_probe_read_kernel_str(&walk->names[walk->length & (PATH_NAMES - 1)], PATH_NAME, BPF_CORE_READ(dentry, d_name.name));
	if (size <= 0)
		return -1;
	walk->length += size;
	walk->dentry = parent;
	return 1;
}

/* Null when the path could not be walked to its root. */
static __always_inline struct path_walk *walk_path(struct path *path)
{
	__u32 zero = 0;
	struct path_walk *walk = bpf_map_lookup_elem(&path_walks, &zero);
	struct vfsmount *vfsmount = BPF_CORE_READ(path, mnt);

	if (!walk)
		return NULL;
	walk->dentry = BPF_CORE_READ(path, dentry);
	walk->mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	walk->length = 0;
	for (int i = 0; i < PATH_DEPTH; i++) {
		int step = path_step(i);

		if (!step)
			return walk;
		if (step < 0)
			break;
	}
	return NULL;
}
