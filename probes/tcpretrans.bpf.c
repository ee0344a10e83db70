// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* tcpretrans: one event for each TCP retransmission, of one segment or of several that lie in one buffer.
 *
 * Hooks: tcp_retransmit_skb for segments of connections, SYNs included; tcp_retransmit_synack for the answers of listeners to SYNs. Timers
 * and arriving segments lead to both, so the task that runs has nothing to do with it: the event has the user and the cgroup of the socket.
 */
#include "kernel.h"
#include "tcpretrans.h"
#include "events.bpf.h"
#include "filter.bpf.h"
#include "loss.bpf.h"
#include "socket.bpf.h"

SEC(".rodata.config") const volatile struct tcpretrans_config config = {};

/* enum tcp_ca_state of include/uapi/linux/tcp.h. */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

#define ICSK_TIME_LOSS_PROBE 5          /* include/net/inet_connection_sock.h: the timer that runs */

/* Newer kernels (6.18, not 6.12) tell of all attempts and of their outcome, older ones of those that succeed. Types are compared by their parameters,
 * of which the first is the tracepoint's own. */
typedef void (*btf_trace_tcp_retransmit_skb___with_error)(void *, const struct sock *, const struct sk_buff *, int);

static __always_inline enum tcpretrans_kind kind_of(struct sock *sk)
{
	struct inet_connection_sock *connection = (void *)sk;
	__u8 state = BPF_CORE_READ_BITFIELD_PROBED(connection, icsk_ca_state);

	if (state == TCP_CA_LOSS)
		return TCPRETRANS_TIMEOUT;
	if (state == TCP_CA_RECOVERY)
		return TCPRETRANS_FAST;
	return BPF_CORE_READ(connection, icsk_pending) == ICSK_TIME_LOSS_PROBE ? TCPRETRANS_PROBE : TCPRETRANS_OTHER;
}

/* Room for an event about a connection of a socket; null after counting why there is none. */
static __always_inline struct tcpretrans_event *new_event(bool typed, struct moment now, struct sock *sk, struct sock_common *ends)
{
	struct swtrace_connection connection;
	struct tcpretrans_event *event;
	struct cgroup *group;

	read_connection(typed, &connection, ends);
	if (!filter_ports(typed, &config.ends, ends) || !filter_addresses(&config.ends, &connection) || !filter_socket(sk)) {
		count(now, SWTRACE_FILTERED);
		return NULL;
	}
	event = reserve_event(now, sizeof(*event));
	if (!event)
		return NULL;
	group = socket_cgroup(sk);
	event->time_ns = bpf_ktime_get_ns();
	event->cgroup_id = group ? BPF_CORE_READ(group, kn, id) : 0;
	event->connection = connection;
	event->uid = BPF_CORE_READ(sk, sk_uid.val);
	event->state = read_member(typed, ends, skc_state);
	__builtin_memset(event->reserved, 0, sizeof(event->reserved));
	return event;
}

static __always_inline int handle_segment(bool typed, struct sock *sk, struct sk_buff *segment, int error)
{
	struct tcpretrans_event *event;
	struct moment now = see();
	struct tcp_skb_cb *control;

	event = new_event(typed, now, sk, &sk->__sk_common);
	if (!event)
		return 0;
	control = (struct tcp_skb_cb *)&segment->cb;
	event->sequence = BPF_CORE_READ(control, seq);
	event->length = BPF_CORE_READ(control, end_seq) - event->sequence;
	event->segments = BPF_CORE_READ(control, tcp_gso_segs);
	event->error = error < 0 ? -error : error;
	event->kind = kind_of(sk);
	return submit_event(now, event, sizeof(*event));
}

static __always_inline int handle_answer(bool typed, struct sock *listener, struct request_sock *request)
{
	struct tcpretrans_event *event;
	struct moment now = see();

	event = new_event(typed, now, listener, &request->__req_common);
	if (!event)
		return 0;
	event->sequence = BPF_CORE_READ((struct tcp_request_sock *)request, snt_isn);
	event->length = 1;
	event->segments = 1;
	event->error = 0;
	event->kind = TCPRETRANS_SYN_ACK;
	return submit_event(now, event, sizeof(*event));
}

/* The verifier refuses it where the kernel does not tell the outcome. */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(segment_outcome_btf, struct sock *sk, struct sk_buff *segment, int error) { return handle_segment(true, sk, segment, error); }

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(segment_btf, struct sock *sk, struct sk_buff *segment) { return handle_segment(true, sk, segment, 0); }

SEC("raw_tp/tcp_retransmit_skb")
int segment_raw(__u64 *context)
{
	int error = bpf_core_type_exists(btf_trace_tcp_retransmit_skb___with_error) ? (int)context[2] : 0;

	return handle_segment(false, (struct sock *)context[0], (struct sk_buff *)context[1], error);
}

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(answer_btf, struct sock *listener, struct request_sock *request) { return handle_answer(true, listener, request); }

SEC("raw_tp/tcp_retransmit_synack")
int BPF_PROG(answer_raw, struct sock *listener, struct request_sock *request) { return handle_answer(false, listener, request); }

char LICENSE[] SEC("license") = "Dual BSD/GPL";
