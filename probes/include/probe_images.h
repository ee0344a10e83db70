// SPDX-License-Identifier: Apache-2.0
/* The embedded CO-RE objects: gathered by the linker, so adding a probe file is enough. */
#pragma once
#include <stddef.h>

struct probe_image {
	const char *name;               /* "opensnoop" for opensnoop.bpf.c */
	const unsigned char *bytes;     /* an ELF object of machine BPF, 8-byte aligned */
	size_t size;
};

size_t probe_image_count(void);
const struct probe_image *probe_image_at(size_t index);
