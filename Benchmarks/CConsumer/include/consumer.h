// SPDX-License-Identifier: Apache-2.0
#pragma once

/** What reading a ring buffer with libbpf gave. */
struct consumed {
	unsigned long long records, bytes, sum;
	double nanoseconds;
};

/** Reads what a ring buffer has, as the C programs of libbpf-tools do: libbpf's reader, a C callback. */
struct consumed consume_with_libbpf(int map);
