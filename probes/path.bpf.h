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
#define PATH_DEPTH 48                   /* folders and mount points; deeper paths are marked as cut */

/* `into` has PATH_NAMES + PATH_NAME bytes. Returns the bytes written, 0 for the root itself, or negative when cut. */
static __always_inline int walk_path(struct path *path, char *into)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry);
	struct vfsmount *vfsmount = BPF_CORE_READ(path, mnt);
	struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	__u32 length = 0;

	for (int i = 0; i < PATH_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);
		long size;

		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root) || dentry == parent) {
			struct mount *outer = BPF_CORE_READ(mount, mnt_parent);

			if (outer == mount)
				return length;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = outer;
			continue;
		}
		if (length >= PATH_NAMES)
			return -1;
		size = bpf_probe_read_kernel_str(into + length, PATH_NAME, BPF_CORE_READ(dentry, d_name.name));
		if (size <= 0)
			return -1;
		length += size & (2 * PATH_NAME - 1);
		dentry = parent;
	}
	return -1;
}
