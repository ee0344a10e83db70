// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* What the kernel knows of a TCP socket. */
#pragma once
#include "kernel.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "connection.h"
#include "filter.bpf.h"

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

/* Of a full socket, or of a request for one, which has the same first part; `typed` as for read_member(). */
static __always_inline void read_connection(bool typed, struct swtrace_connection *connection, struct sock_common *common)
{
	connection->local_port = read_member(typed, common, skc_num);
	connection->remote_port = bpf_ntohs(read_member(typed, common, skc_dport));
	connection->reserved = 0;
	/* A socket of IPv6 that talks to IPv4 has mapped addresses. */
	if (bpf_core_field_exists(common->skc_v6_daddr) && read_member(typed, common, skc_family) == AF_INET6) {
		bpf_core_read(connection->local, sizeof(connection->local), &common->skc_v6_rcv_saddr);
		bpf_core_read(connection->remote, sizeof(connection->remote), &common->skc_v6_daddr);
	} else {
		map_ipv4(connection->local, read_member(typed, common, skc_rcv_saddr));
		map_ipv4(connection->remote, read_member(typed, common, skc_daddr));
	}
}

/* Whether the ports of a connection are the wanted ones. */
static __always_inline bool filter_ports(bool typed, const volatile struct swtrace_connection_filter *wanted, struct sock_common *common)
{
	if (wanted->local_port && read_member(typed, common, skc_num) != wanted->local_port)
		return false;
	return !wanted->remote_port || read_member(typed, common, skc_dport) == bpf_htons(wanted->remote_port);
}

static __always_inline bool has_addresses(const volatile struct swtrace_connection_filter *wanted)
{
	return wanted->ip || wanted->has_local || wanted->has_remote;
}

static __always_inline bool is_address(const volatile __u32 *wanted, const __u32 *address)
{
	return wanted[0] == address[0] && wanted[1] == address[1] && wanted[2] == address[2] && wanted[3] == address[3];
}

/* Whether the addresses of a connection are the wanted ones. */
static __always_inline bool filter_addresses(
	const volatile struct swtrace_connection_filter *wanted, const struct swtrace_connection *connection)
{
	if (wanted->ip && (wanted->ip == 4) != is_ipv4(connection->remote))
		return false;
	if (wanted->has_local && !is_address(wanted->local, connection->local))
		return false;
	return !wanted->has_remote || is_address(wanted->remote, connection->remote);
}

/* The cgroup of the v2 hierarchy that a socket was made in; null where the kernel does not know it. */
static __always_inline struct cgroup *socket_cgroup(struct sock *sk)
{
	struct sock___before_5_15 *old = (void *)sk;

	if (bpf_core_field_exists(sk->sk_cgrp_data.cgroup))
		return BPF_CORE_READ(sk, sk_cgrp_data.cgroup);
	if (bpf_core_field_exists(old->sk_cgrp_data.val)) {
		__u64 value = BPF_CORE_READ(old, sk_cgrp_data.val);

		return value & 3 ? NULL : (struct cgroup *)value;
	}
	return NULL;
}

/* Whether a socket belongs to the wanted user and cgroup. Its process is not known. */
static __always_inline bool filter_socket(struct sock *sk)
{
	struct cgroup *group;

	if (filter.has_uid && BPF_CORE_READ(sk, sk_uid.val) != filter.uid)
		return false;
	if (!filter.cgroup_id)
		return true;
	group = socket_cgroup(sk);
	return group && filter_cgroup(group);
}
