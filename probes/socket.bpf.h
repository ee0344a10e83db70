// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* What the kernel knows of a TCP socket. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "connection.h"

#define AF_INET6 10
#define IPPROTO_TCP 6

/* States of a connection (include/net/tcp_states.h). */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3

static __always_inline bool is_ipv4(const __u32 *address)
{
	return !address[0] && !address[1] && address[2] == bpf_htonl(0xffff);
}

static __always_inline void map_ipv4(__u32 *address, __be32 ipv4)
{
	address[0] = 0;
	address[1] = 0;
	address[2] = bpf_htonl(0xffff);
	address[3] = ipv4;
}

/* Of a full socket, or of a request for one, which has the same first part. */
static __always_inline void read_connection(struct swtrace_connection *connection, struct sock_common *common)
{
	connection->local_port = BPF_CORE_READ(common, skc_num);
	connection->remote_port = bpf_ntohs(BPF_CORE_READ(common, skc_dport));
	connection->reserved = 0;
	/* A socket of IPv6 that talks to IPv4 has mapped addresses. */
	if (bpf_core_field_exists(common->skc_v6_daddr) && BPF_CORE_READ(common, skc_family) == AF_INET6) {
		bpf_core_read(connection->local, sizeof(connection->local), &common->skc_v6_rcv_saddr);
		bpf_core_read(connection->remote, sizeof(connection->remote), &common->skc_v6_daddr);
	} else {
		map_ipv4(connection->local, BPF_CORE_READ(common, skc_rcv_saddr));
		map_ipv4(connection->remote, BPF_CORE_READ(common, skc_daddr));
	}
}
