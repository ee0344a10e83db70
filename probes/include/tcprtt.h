// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* Round-trip times of TCP connections. */
#pragma once
#include "types.h"
#include "connection.h"

/* The parts of a connection that make a histogram's key; of others the members are zero. */
enum tcprtt_part {
	TCPRTT_LOCAL_ADDRESS = 1,
	TCPRTT_REMOTE_ADDRESS = 2,
	TCPRTT_PORTS = 4,
	TCPRTT_CGROUP = 8,              /* alone: the key is the cgroup's id */
};

struct tcprtt_config {
	struct swtrace_connection_filter ends;
	__u8 parts;                     /* enum tcprtt_part */
	__u8 reserved[7];
};
_Static_assert(sizeof(struct tcprtt_config) == 48, "written by Sources/Tools/Network/Tcprtt.swift");
