// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* tcpconnlat: how long TCP connects take, and how they end.
 *
 * Hooks: inet_sock_set_state, which runs in the connecting task when the state becomes SYN_SENT, and in any context when the answer, an
 * error or the last timeout ends that state; tcp_destroy_sock, for sockets of which the kernel did not show that end.
 */
#include "kernel.h"
#include "tcpconnlat.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "histogram.bpf.h"
#include "loss.bpf.h"
#include "socket.bpf.h"

SEC(".rodata.config") const volatile struct tcpconnlat_config config = {};

#define SHUTDOWN_MASK 3                 /* include/net/sock.h: close(2) has been called */

/* Sockets that wait for an answer; a socket's memory is another's only after tcp_destroy_sock. 1.6 MB; with more connects than this at
 * once, the others count LOST_MAP_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u64);
	__type(value, struct tcpconnlat_waiting);
} connects SEC(".maps");

static __always_inline int begin(bool typed, struct sock *sk)
{
	__u64 ids = bpf_get_current_pid_tgid(), key = (__u64)sk;
	struct tcpconnlat_waiting new = {};

	read_connection(typed, &new.connection, &sk->__sk_common);
	if (config.ip && (config.ip == 4) != is_ipv4(new.connection.remote))
		return count(see(), SWTRACE_FILTERED);
	if (!filter_current())
		return count(see(), SWTRACE_FILTERED);
	new.began_ns = bpf_ktime_get_ns();
	new.pid = ids >> 32;
	new.tid = (__u32)ids;
	new.uid = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(new.comm, sizeof(new.comm));
	if (!bpf_map_update_elem(&connects, &key, &new, BPF_NOEXIST))
		return 0;
	/* Either the map is full, or the end of the socket's connect before was not shown. */
	if (!bpf_map_update_elem(&connects, &key, &new, BPF_EXIST))
		return remark(SWTRACE_UNFINISHED);
	return count(see(), SWTRACE_LOST_MAP_FULL);
}

static __always_inline enum tcpconnlat_result result_of(bool typed, struct sock *sk, int state, int error)
{
	struct socket *socket;

	if (state == TCP_ESTABLISHED)
		return TCPCONNLAT_CONNECTED;
	if (error)
		return TCPCONNLAT_FAILED;
	if (read_member(typed, sk, sk_shutdown) == SHUTDOWN_MASK)
		return TCPCONNLAT_CLOSED;
	/* shutdown(2), and connect(2) to no address, give up as well, and tell it later. While connect(2) itself fails, the socket is not
	 * connecting yet. */
	socket = read_member(typed, sk, sk_socket);
	return socket && BPF_CORE_READ(socket, state) != SS_UNCONNECTED ? TCPCONNLAT_CLOSED : TCPCONNLAT_FAILED;
}

static __always_inline int end(bool typed, struct sock *sk, int state)
{
	__u64 now_ns = bpf_ktime_get_ns(), key = (__u64)sk;
	struct tcpconnlat_waiting *found = bpf_map_lookup_elem(&connects, &key), ended;
	int error = state == TCP_ESTABLISHED ? 0 : read_member(typed, sk, sk_err);
	struct tcpconnlat_event *event;
	struct moment now;

	if (!found)
		return 0;
	ended = *found;
	bpf_map_delete_elem(&connects, &key);
	now = see();
	if (config.failed_only && state == TCP_ESTABLISHED)
		return count(now, SWTRACE_FILTERED);
	/* The end can be on another processor, whose clock may be some nanoseconds behind. */
	if ((__s64)(now_ns - ended.began_ns) < 0)
		now_ns = ended.began_ns;
	if (now_ns - ended.began_ns < config.minimum_ns)
		return count(now, SWTRACE_FILTERED);
	if (config.to_histogram) {
		struct cgroup *group = socket_cgroup(sk);

		key = (group ? BPF_CORE_READ(group, kn, id) : 0) << TCPCONNLAT_RESULT_BITS | result_of(typed, sk, state, error);
		return histogram_add(now, key, now_ns - ended.began_ns, NULL);
	}
	event = reserve_event(now, sizeof(*event));
	if (!event)
		return 0;
	event->time_ns = now_ns;
	event->took_ns = now_ns - ended.began_ns;
	event->connection = ended.connection;
	/* At the beginning there need not have been a local port; at a bad end it has been given back. */
	event->connection.local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	event->pid = ended.pid;
	event->tid = ended.tid;
	event->uid = ended.uid;
	event->error = error;
	event->result = result_of(typed, sk, state, error);
	event->retransmits = BPF_CORE_READ((struct tcp_sock *)sk, total_retrans);
	__builtin_memcpy(event->comm, ended.comm, sizeof(event->comm));
	return submit_event(now, event, sizeof(*event));
}

static __always_inline int handle_state(bool typed, struct sock *sk, int before, int after)
{
	/* Other protocols use these states too. */
	if (read_member(typed, sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_SENT)
		return begin(typed, sk);
	/* Two ends that connect to each other go through SYN_RECV, which also is the state of accepted sockets: they have no entry. */
	if ((before == TCP_SYN_SENT || before == TCP_SYN_RECV) && after != TCP_SYN_RECV)
		return end(typed, sk, after);
	return 0;
}

static __always_inline int handle_destroy(struct sock *sk)
{
	__u64 key = (__u64)sk;

	if (!bpf_map_lookup_elem(&connects, &key))
		return 0;
	bpf_map_delete_elem(&connects, &key);
	return remark(SWTRACE_UNFINISHED);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(state_btf, struct sock *sk, int before, int after) { return handle_state(true, sk, before, after); }

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(state_raw, struct sock *sk, int before, int after) { return handle_state(false, sk, before, after); }

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(destroy_btf, struct sock *sk) { return handle_destroy(sk); }

SEC("raw_tp/tcp_destroy_sock")
int BPF_PROG(destroy_raw, struct sock *sk) { return handle_destroy(sk); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
