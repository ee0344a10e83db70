// SPDX-License-Identifier: Apache-2.0
#include "probe_images.h"

/* The linker makes these two symbols for every section whose name is a C identifier. */
extern const struct probe_image __start_probe_images[] __attribute__((weak));
extern const struct probe_image __stop_probe_images[] __attribute__((weak));

size_t probe_image_count(void)
{
	return (size_t)(__stop_probe_images - __start_probe_images);
}

const struct probe_image *probe_image_at(size_t index)
{
	return index < probe_image_count() ? &__start_probe_images[index] : 0;
}
