// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* tcprtt: the smoothed round-trip time of TCP connections, once for each segment that one of them receives.
 *
 * Hook: tcp_probe, at the arrival of a segment for an established connection. It runs in whatever task was interrupted, so a connection is
 * chosen by its addresses and ports and by the user and the cgroup of its socket.
 */
#include "kernel.h"
#include "tcprtt.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "socket.bpf.h"

SEC(".rodata.config") const volatile struct tcprtt_config config = {};

/* What the keys of histograms stand for. Sized by user space before the load; emptied by it at the end of each interval. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u64);
	__type(value, struct swtrace_connection);
} groups SEC(".maps");

static __always_inline __u64 mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL;
	return hash ^ hash >> 32;
}

static __always_inline __u64 mix_address(__u64 hash, const __u32 *address)
{
	hash = mix(hash, (__u64)address[0] << 32 | address[1]);
	return mix(hash, (__u64)address[2] << 32 | address[3]);
}

/* The key of the group that a connection belongs to, a hash of 64 bits; false where there was no room for what it stands for. */
static __always_inline bool group_of(struct swtrace_connection *connection, __u64 *key)
{
	if (!(config.parts & TCPRTT_LOCAL_ADDRESS))
		__builtin_memset(connection->local, 0, sizeof(connection->local));
	if (!(config.parts & TCPRTT_REMOTE_ADDRESS))
		__builtin_memset(connection->remote, 0, sizeof(connection->remote));
	if (!(config.parts & TCPRTT_PORTS)) {
		connection->local_port = 0;
		connection->remote_port = 0;
	}
	*key = mix_address(0, connection->local);
	*key = mix_address(*key, connection->remote);
	*key = mix(*key, (__u64)connection->local_port << 16 | connection->remote_port);
	return bpf_map_lookup_elem(&groups, key) || !bpf_map_update_elem(&groups, key, connection, BPF_ANY);
}

static __always_inline int handle_segment(bool typed, struct sock *sk)
{
	struct swtrace_connection connection;
	struct moment now = see();
	__u64 key = 0, eighths;

	if (!filter_ports(typed, &config.ends, &sk->__sk_common))
		return count(now, SWTRACE_FILTERED);
	/* Nothing has been measured yet: a connection that was made without an exchange of time stamps. */
	eighths = BPF_CORE_READ((struct tcp_sock *)sk, srtt_us);
	if (!eighths)
		return count(now, SWTRACE_FILTERED);
	if (!filter_socket(sk))
		return count(now, SWTRACE_FILTERED);
	if (has_addresses(&config.ends) || (config.parts & ~TCPRTT_CGROUP)) {
		read_connection(typed, &connection, &sk->__sk_common);
		if (!filter_addresses(&config.ends, &connection))
			return count(now, SWTRACE_FILTERED);
	}
	if (config.parts & TCPRTT_CGROUP) {
		struct cgroup *group = socket_cgroup(sk);

		key = group ? BPF_CORE_READ(group, kn, id) : 0;
	} else if (config.parts && !group_of(&connection, &key)) {
		return count(now, SWTRACE_LOST_MAP_FULL);
	}
	return histogram_add(now, key, eighths * 125, NULL);
}

SEC("tp_btf/tcp_probe")
int BPF_PROG(segment_btf, struct sock *sk) { return handle_segment(true, sk); }

SEC("raw_tp/tcp_probe")
int BPF_PROG(segment_raw, struct sock *sk) { return handle_segment(false, sk); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
