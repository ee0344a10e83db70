// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* The two ends of a TCP connection. */
#pragma once
#include "types.h"

/* Addresses are those of IPv6 in network byte order, 32 bits at a time; those of IPv4 are mapped into them (::ffff:a.b.c.d, RFC 4291). */
struct swtrace_connection {
	__u32 local[4], remote[4];
	__u16 local_port, remote_port;  /* in the machine's byte order */
	__u32 reserved;
};
_Static_assert(sizeof(struct swtrace_connection) == 40, "read by Sources/Tools/Network/Connection.swift");

/* Which connections are of interest; zero in a member means: any. */
struct swtrace_connection_filter {
	__u32 local[4];                 /* with has_local; as above */
	__u32 remote[4];
	__u16 local_port, remote_port;
	__u8 has_local;
	__u8 has_remote;
	__u8 ip;                        /* 4 or 6: only this version */
	__u8 reserved;
};
_Static_assert(sizeof(struct swtrace_connection_filter) == 40, "written by Sources/Tools/Network/ConnectionOptions.swift");
