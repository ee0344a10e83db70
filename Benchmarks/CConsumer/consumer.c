// SPDX-License-Identifier: Apache-2.0
#include "consumer.h"

#include <bpf/libbpf.h>
#include <time.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int add(void *context, void *data, size_t size)
{
	struct consumed *consumed = context;

	consumed->records++;
	consumed->bytes += size;
	consumed->sum += *(const unsigned int *)data;
	return 0;
}

struct consumed consume_with_libbpf(int map)
{
	struct consumed consumed = {};
	struct ring_buffer *ring = ring_buffer__new(map, add, &consumed, NULL);
	double start = now();

	if (!ring)
		return consumed;
	ring_buffer__consume(ring);
	consumed.nanoseconds = now() - start;
	ring_buffer__free(ring);
	return consumed;
}
