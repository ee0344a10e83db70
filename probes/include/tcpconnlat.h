// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One connect that has ended, well or not. */
#pragma once
#include "types.h"
#include "connection.h"

enum tcpconnlat_result {
	TCPCONNLAT_CONNECTED,
	TCPCONNLAT_FAILED,
	TCPCONNLAT_CLOSED,              /* by its own program, before there was an answer */
	TCPCONNLAT_PENDING,             /* there was no answer yet when the trace ended: given by user space */
};

struct tcpconnlat_config {
	__u64 minimum_ns;
	__u8 failed_only;               /* -x */
	__u8 ip;                        /* 4 or 6: only this version; 0: both */
	__u8 to_histogram;              /* latencies are added up by cgroup and result, instead of an event each */
	__u8 reserved[5];
};

/* The key of such a histogram: the socket's cgroup, 0 for not known, above the result's bits. */
#define TCPCONNLAT_RESULT_BITS 2

/* One that waits for its answer, in the map `connects` by its socket. */
struct tcpconnlat_waiting {
	__u64 began_ns;                 /* CLOCK_MONOTONIC */
	struct swtrace_connection connection;   /* local port 0: none yet */
	__u32 pid, tid, uid, reserved;
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct tcpconnlat_waiting) == 80, "read by Sources/Tools/Network/Tcpconnlat.swift");

struct tcpconnlat_event {
	__u64 time_ns;                  /* of the end, CLOCK_MONOTONIC */
	__u64 took_ns;
	struct swtrace_connection connection;   /* local port 0: none was left */
	__u32 pid, tid, uid;            /* of the task that asked for the connection */
	__s32 error;                    /* the socket's errno; 0 where connect() failed before a packet was sent */
	__u32 retransmits;              /* packets that were sent again, SYNs only */
	__u32 result;                   /* enum tcpconnlat_result */
	char comm[SWTRACE_COMM_LENGTH];
};
_Static_assert(sizeof(struct tcpconnlat_event) == 96, "read by Sources/Tools/Network/Tcpconnlat.swift");
