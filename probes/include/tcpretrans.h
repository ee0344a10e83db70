// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* One retransmission: of a buffer that holds one segment or several. */
#pragma once
#include "types.h"
#include "connection.h"

/* Why it was sent, by the state of the connection's loss recovery. */
enum tcpretrans_kind {
	TCPRETRANS_OTHER,
	TCPRETRANS_TIMEOUT,             /* the retransmission timer, or an answer that came after it */
	TCPRETRANS_FAST,                /* acknowledgements showed the loss */
	TCPRETRANS_PROBE,               /* the last segment of a flight, early (tail loss probe, RFC 8985) */
	TCPRETRANS_SYN_ACK,             /* the answer to a SYN */
};

struct tcpretrans_config {
	struct swtrace_connection_filter ends;
};

struct tcpretrans_event {
	__u64 time_ns;                  /* CLOCK_MONOTONIC */
	__u64 cgroup_id;                /* of the socket, or of the listener; 0: not known */
	struct swtrace_connection connection;
	__u32 uid;                      /* of the socket, or of the listener */
	__u32 sequence;                 /* the first sequence number */
	__u32 length;                   /* sequence numbers: bytes, and one each for SYN and FIN */
	__s32 error;                    /* errno; 0: it was sent */
	__u8 kind;                      /* enum tcpretrans_kind */
	__u8 state;                     /* of the connection (include/net/tcp_states.h) */
	__u16 segments;                 /* as the kernel counts them: what the device cuts the buffer into */
	__u8 reserved[4];
};
_Static_assert(sizeof(struct tcpretrans_event) == 80, "read by Sources/Tools/Network/Tcpretrans.swift");
