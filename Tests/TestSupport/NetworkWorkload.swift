internal import Foundation

/// A program that makes exact numbers of TCP connections on the loopback device, in a network namespace of its own; compiled once, because
/// that takes seconds in a virtual machine. What others do on the machine's network cannot disturb it.
package enum NetworkWorkload {
  private static let folder = Result { try TemporaryFolder() }

  package static let path = Result {
    let folder = try NetworkWorkload.folder.get()
    // Globals are never released: the folder is removed when the tests end.
    atexit { if let path = try? NetworkWorkload.folder.get().path { _ = try? run(["rm", "-rf", path]) } }
    return try compile(source, in: folder, name: "network")
  }

  private static let source = """
    #define _GNU_SOURCE
    #include <arpa/inet.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <linux/filter.h>
    #include <linux/tcp.h>
    #include <net/if.h>
    #include <netinet/in.h>
    #include <poll.h>
    #include <sched.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <string.h>
    #include <sys/ioctl.h>
    #include <sys/socket.h>
    #include <unistd.h>

    #define CHECK(what) do { if (!(what)) { fprintf(stderr, "line %d: %s\\n", __LINE__, strerror(errno)); exit(99); } } while (0)

    struct end { struct sockaddr_storage address; socklen_t length; };

    static void isolate(void) {
      struct ifreq request = { .ifr_name = "lo" };
      int any = -1;
      CHECK(!unshare(CLONE_NEWNET));
      CHECK((any = socket(AF_INET, SOCK_DGRAM, 0)) >= 0);
      CHECK(!ioctl(any, SIOCGIFFLAGS, &request));
      request.ifr_flags |= IFF_UP;
      CHECK(!ioctl(any, SIOCSIFFLAGS, &request));
      close(any);
    }

    static struct end end_at(const char *text, int port) {
      struct end end = {};
      struct sockaddr_in *v4 = (void *)&end.address;
      struct sockaddr_in6 *v6 = (void *)&end.address;
      if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        end.length = sizeof(*v4);
      } else {
        CHECK(inet_pton(AF_INET6, text, &v6->sin6_addr) == 1);
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        end.length = sizeof(*v6);
      }
      return end;
    }

    static int new_socket(struct end end) {
      int made = socket(end.address.ss_family, SOCK_STREAM, 0);
      CHECK(made >= 0);
      return made;
    }

    /* Where another socket connects to. */
    static struct end end_of(int socket) {
      struct end end = { .length = sizeof(end.address) };
      CHECK(!getsockname(socket, (void *)&end.address, &end.length));
      return end;
    }

    static int port_of(struct end end) { return ntohs(((struct sockaddr_in *)&end.address)->sin_port); }

    /* backlog -1: bound only, so that connects are refused */
    static int listener(const char *address, int backlog) {
      struct end end = end_at(address, 0);
      int made = new_socket(end);
      CHECK(!bind(made, (void *)&end.address, end.length));
      if (backlog >= 0) CHECK(!listen(made, backlog));
      return made;
    }

    static int try_connect(int socket, struct end to) { return connect(socket, (void *)&to.address, to.length) ? errno : 0; }

    /* A connection that waits for an answer, with so many SYNs sent again. */
    static int begin_connect(struct end to, int again) {
      int made = new_socket(to);
      CHECK(!setsockopt(made, IPPROTO_TCP, TCP_SYNCNT, &again, sizeof(again)));
      CHECK(!fcntl(made, F_SETFL, O_NONBLOCK));
      CHECK(try_connect(made, to) == EINPROGRESS);
      return made;
    }

    static int error_of(int socket) {
      struct pollfd one = { .fd = socket, .events = POLLOUT };
      int error = 0;
      socklen_t length = sizeof(error);
      CHECK(poll(&one, 1, -1) == 1);
      CHECK(!getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length));
      return error;
    }

    static void connect_and_accept(int count, const char *address, int listening) {
      for (int i = 0; i < count; i++) {
        struct end to = end_at(address, port_of(end_of(listening)));
        int from = new_socket(to), accepted;
        CHECK(!try_connect(from, to));
        CHECK((accepted = accept(listening, 0, 0)) >= 0);
        close(from);
        close(accepted);
      }
    }

    static struct tcp_info info_of(int socket) {
      struct tcp_info info = {};
      socklen_t length = sizeof(info);
      CHECK(!getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &length));
      return info;
    }

    /* A listener whose queue is full: it drops further SYNs. */
    static int full_listener(void) {
      int full = listener("127.0.0.1", 0);
      struct end to = end_of(full);
      CHECK(!try_connect(new_socket(to), to));
      /* The last segment of that connect may not have been taken in yet. Of a listener these two are its queue and its length. */
      while (info_of(full).tcpi_unacked <= info_of(full).tcpi_sacked) usleep(1000);
      return full;
    }

    /* Packets that a socket has sent again, as the kernel counts them. */
    static int retransmits_of(int socket) { return info_of(socket).tcpi_total_retrans; }

    /* Of all connections of the namespace: RetransSegs. */
    static long long all_retransmits(void) {
      char line[4096], *field;
      long long all = 0;
      FILE *file = fopen("/proc/net/snmp", "r");
      CHECK(file);
      for (int seen = 0; fgets(line, sizeof(line), file);) {
        if (strncmp(line, "Tcp:", 4) || !seen++) continue;
        field = line;
        for (int i = 0; i < 12; i++) CHECK((field = strchr(field + 1, ' ')));
        all = atoll(field);
      }
      fclose(file);
      return all;
    }

    static void write_number(const char *path, int number) {
      FILE *file = fopen(path, "w");
      CHECK(file && fprintf(file, "%d\\n", number) > 0 && !fclose(file));
    }

    /* 97 + 11 + 3 + 1 + 1 connected, 89 refused, 13 timed out, 7 + 3 + 2 closed, 5 failed at once; one more has no route. The file gets the
       number of SYNs that those which timed out sent again: that is the kernel's choice. */
    static void connects(const char *file) {
      int v4 = listener("127.0.0.1", 128), v6 = listener("::", 128), closed = listener("127.0.0.1", -1), full = full_listener();
      int waiting[13], bound[2], one = 1;
      for (int i = 0; i < 13; i++) waiting[i] = begin_connect(end_of(full), 1);
      connect_and_accept(97, "127.0.0.1", v4);
      connect_and_accept(11, "::1", v6);
      connect_and_accept(3, "::ffff:127.0.0.1", v6);
      for (int i = 0; i < 89; i++) {
        int from = new_socket(end_of(closed));
        CHECK(try_connect(from, end_of(closed)) == ECONNREFUSED);
        close(from);
      }
      for (int i = 0; i < 7; i++) close(begin_connect(end_of(full), 6));
      for (int i = 0; i < 3; i++) CHECK(!shutdown(begin_connect(end_of(full), 6), SHUT_RDWR));
      struct end none = { .address.ss_family = AF_UNSPEC, .length = sizeof(none.address) };
      for (int i = 0; i < 2; i++) CHECK(!try_connect(begin_connect(end_of(full), 6), none));
      struct end far = end_at("192.0.2.1", 9);
      CHECK(try_connect(new_socket(far), far) == ENETUNREACH);
      /* Two connections cannot have the same two ends. */
      for (int i = 0; i < 2; i++) {
        struct end end = i ? end_of(bound[0]) : end_at("127.0.0.1", 0);
        bound[i] = new_socket(end);
        CHECK(!setsockopt(bound[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
        CHECK(!bind(bound[i], (void *)&end.address, end.length));
      }
      CHECK(!try_connect(bound[0], end_of(v4)));
      for (int i = 0; i < 5; i++) CHECK(try_connect(bound[1], end_of(v4)) == EADDRNOTAVAIL);
      int again = 0;
      for (int i = 0; i < 13; i++) {
        CHECK(error_of(waiting[i]) == ETIMEDOUT);
        again += retransmits_of(waiting[i]);
      }
      write_number(file, again);
    }

    /* With data in the first SYN (RFC 7413): 17 connected by sendto(2) and 7 by a write(2) after a connect(2) that sends nothing; of these 3
       more are refused, and 2 closed before they send anything. */
    static void fast_opens(void) {
      int listening, closed, all = 1 | 2 | 4 | 0x200 | 0x400, one = 1;
      /* For clients and servers, without cookies, without an option of the listener. */
      write_number("/proc/sys/net/ipv4/tcp_fastopen", all);
      listening = listener("127.0.0.1", 128);
      closed = listener("127.0.0.1", -1);
      for (int i = 0; i < 17 + 7 + 3 + 2; i++) {
        struct end to = end_of(i < 24 || i >= 27 ? listening : closed);
        int from = new_socket(to), accepted = -1;
        char byte;
        if (i < 17) {
          CHECK(sendto(from, "x", 1, MSG_FASTOPEN, (void *)&to.address, to.length) == 1);
        } else {
          CHECK(!setsockopt(from, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &one, sizeof(one)));
          CHECK(!try_connect(from, to));
          if (i < 24) CHECK(write(from, "x", 1) == 1);
          else if (i < 27) while (write(from, "x", 1) == 1 || errno != ECONNREFUSED) CHECK(errno != EPIPE);
        }
        if (i < 24) {
          CHECK((accepted = accept(listening, 0, 0)) >= 0 && read(accepted, &byte, 1) == 1 && byte == 'x');
          /* It was in the SYN. */
          CHECK(info_of(accepted).tcpi_options & TCPI_OPT_SYN_DATA);
          close(accepted);
        }
        close(from);
      }
    }

    /* 61 connects at once that are closed without an answer, or for the byte k kept until the end of the input. */
    static void pending(void) {
      int full = full_listener(), waiting[61];
      char byte;
      CHECK(write(1, "ready\\n", 6) == 6);
      CHECK(read(0, &byte, 1) == 1);
      for (int i = 0; i < 61; i++) waiting[i] = begin_connect(end_of(full), 6);
      for (int i = 0; byte != 'k' && i < 61; i++) close(waiting[i]);
      CHECK(write(1, "done\\n", 5) == 5);
      CHECK(read(0, &byte, 1) == 0);
    }

    struct pair { int from, to; };

    static void send_byte(int from, int to) {
      char byte = 'x';
      CHECK(write(from, &byte, 1) == 1);
      CHECK(read(to, &byte, 1) == 1);
    }

    /* Until everything is acknowledged, so that no segment is still to come. */
    static void settle(struct pair pair) { while (info_of(pair.from).tcpi_unacked || info_of(pair.to).tcpi_unacked) usleep(1000); }

    /* Two connections, to 127.0.0.1 and to ::1. First the ports that they connect to; then for each byte on standard input so many
       exchanges: of p 101 and 53, of o one byte to 127.0.0.1 only. Of each connection the segments that both ends received meanwhile, and
       the round-trip time that the accepting end had measured before, in microseconds. The sockets are made in that cgroup, if any. */
    static void exchanges(const char *cgroup) {
      struct pair pairs[2];
      int listening[2];
      char byte;
      if (cgroup) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
        write_number(path, getpid());
      }
      listening[0] = listener("127.0.0.1", 1);
      listening[1] = listener("::1", 1);
      for (int i = 0; i < 2; i++) {
        pairs[i].from = new_socket(end_of(listening[i]));
        CHECK(!try_connect(pairs[i].from, end_of(listening[i])));
        CHECK((pairs[i].to = accept(listening[i], 0, 0)) >= 0);
        settle(pairs[i]);
      }
      printf("ports %d %d\\n", port_of(end_of(listening[0])), port_of(end_of(listening[1])));
      fflush(stdout);
      while (read(0, &byte, 1) == 1) {
        printf("done");
        for (int i = 0; i < 2; i++) {
          struct tcp_info from = info_of(pairs[i].from), to = info_of(pairs[i].to);
          for (int j = 0; byte == 'p' && j < (i ? 53 : 101); j++) {
            send_byte(pairs[i].from, pairs[i].to);
            send_byte(pairs[i].to, pairs[i].from);
          }
          if (byte == 'o' && !i) send_byte(pairs[i].from, pairs[i].to);
          settle(pairs[i]);
          printf(" %d %d %d", info_of(pairs[i].from).tcpi_segs_in - from.tcpi_segs_in,
            info_of(pairs[i].to).tcpi_segs_in - to.tcpi_segs_in, to.tcpi_rtt);
        }
        printf("\\n");
        fflush(stdout);
      }
    }

    /* Drops segments that come to a socket: all, or those without data and those whose data begins with X. */
    static void drop(int socket, int is_all) {
      struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
      struct sock_filter some[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 12), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2), BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 60),
        BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'X', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0), BPF_STMT(BPF_RET | BPF_K, 0x40000),
      };
      struct sock_fprog program = { .len = is_all ? 1 : 8, .filter = is_all ? all : some };
      CHECK(!setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)));
    }

    static void drop_nothing(int socket) {
      int nothing = 0;
      CHECK(!setsockopt(socket, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing)));
    }

    static struct pair new_pair(int listening) {
      struct pair pair = { .from = new_socket(end_of(listening)) };
      int one = 1;
      CHECK(!setsockopt(pair.from, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
      CHECK(!try_connect(pair.from, end_of(listening)));
      CHECK((pair.to = accept(listening, 0, 0)) >= 0);
      settle(pair);
      return pair;
    }

    static void receive(int socket, int bytes) {
      char byte;
      while (bytes--) CHECK(read(socket, &byte, 1) == 1);
    }

    /* A buffer of ten segments that is lost, that others overtake, and that is sent again, until the acknowledgments of those others are what
       made the kernel send it (on a slow machine the timer may come before them, and sends one segment). The file gets the port that was
       connected to, how many segments the kernel says that its connections have sent again, and how many it says of all connections. */
    static void segments(const char *path) {
      static char lost[9000], data[36000];
      int listening = listener("127.0.0.1", 1), size = 1000, room = 1 << 18, again = 0, is_fast = 0;
      CHECK(!setsockopt(listening, IPPROTO_TCP, TCP_MAXSEG, &size, sizeof(size)));
      memset(lost, 'X', sizeof(lost));
      for (int attempts = 0; !is_fast; attempts++) {
        CHECK(attempts < 1000);
        struct pair pair = new_pair(listening);
        CHECK(!setsockopt(pair.from, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)));
        /* The window grows to more than the ten segments that it begins with. */
        for (int i = 0; i < 3; i++) {
          CHECK(write(pair.from, data, sizeof(data)) == sizeof(data));
          receive(pair.to, sizeof(data));
        }
        drop(pair.to, 0);
        CHECK(write(pair.from, lost, sizeof(lost)) == sizeof(lost));
        CHECK(write(pair.from, data, 18000) == 18000);
        while (!retransmits_of(pair.from)) usleep(100);
        is_fast = info_of(pair.from).tcpi_ca_state == 3;
        drop_nothing(pair.to);
        receive(pair.to, sizeof(lost) + 18000);
        settle(pair);
        again += retransmits_of(pair.from);
        close(pair.from);
        close(pair.to);
      }
      FILE *file = fopen(path, "w");
      CHECK(file);
      fprintf(file, "%d %d %lld\\n", port_of(end_of(listening)), again, all_retransmits());
      fclose(file);
    }

    /* SYNs that nobody answers, data that is lost at the end of a flight and within one, answers to a SYN that get lost. The file gets of
       each the port that was connected to and how often the kernel says that it was sent again; at last the answers to SYNs. */
    static void retransmissions(const char *path) {
      int full = full_listener(), last = listener("127.0.0.1", 1), within = listener("::1", 1), deaf = listener("127.0.0.1", 5);
      int waiting[13], client, syns = 0, lasts = 0, withins = 0, clients = 0, is_fast = 0;
      FILE *file;
      for (int i = 0; i < 13; i++) waiting[i] = begin_connect(end_of(full), 1);
      /* The last segment: first the probe, then the timer. */
      for (int i = 0; i < 7; i++) {
        struct pair pair = new_pair(last);
        drop(pair.to, 1);
        CHECK(write(pair.from, "a", 1) == 1);
        while (retransmits_of(pair.from) < 2) usleep(1000);
        drop_nothing(pair.to);
        receive(pair.to, 1);
        settle(pair);
        lasts += retransmits_of(pair.from);
        close(pair.from);
        close(pair.to);
      }
      /* One that others overtake. On a slow machine the timer may come before them: then once more. */
      for (int attempts = 0; !is_fast; attempts++) {
        CHECK(attempts < 1000);
        struct pair pair = new_pair(within);
        drop(pair.to, 0);
        CHECK(write(pair.from, "X", 1) == 1);
        for (int i = 0; i < 9; i++) CHECK(write(pair.from, "a", 1) == 1);
        while (!retransmits_of(pair.from)) usleep(100);
        is_fast = info_of(pair.from).tcpi_ca_state == 3;
        drop_nothing(pair.to);
        receive(pair.to, 10);
        settle(pair);
        withins += retransmits_of(pair.from);
        close(pair.from);
        close(pair.to);
      }
      client = new_socket(end_of(deaf));
      drop(client, 1);
      CHECK(!fcntl(client, F_SETFL, O_NONBLOCK));
      CHECK(try_connect(client, end_of(deaf)) == EINPROGRESS);
      while (retransmits_of(client) < 2) usleep(1000);
      for (int i = 0; i < 13; i++) {
        CHECK(error_of(waiting[i]) == ETIMEDOUT);
        syns += retransmits_of(waiting[i]);
      }
      /* Without the listener nobody answers any more. */
      int ports[4] = { port_of(end_of(full)), port_of(end_of(last)), port_of(end_of(within)), port_of(end_of(deaf)) };
      close(deaf);
      drop_nothing(client);
      error_of(client);
      clients = retransmits_of(client);
      CHECK((file = fopen(path, "w")));
      fprintf(file, "%d %d %d %d %d %d %d %d %lld\\n", ports[0], syns, ports[1], lasts, ports[2], withins, ports[3], clients,
        all_retransmits() - syns - lasts - withins - clients);
      fclose(file);
    }

    int main(int count, char **arguments) {
      isolate();
      if (!strcmp(arguments[1], "connects")) connects(arguments[2]);
      if (!strcmp(arguments[1], "pending")) pending();
      if (!strcmp(arguments[1], "fast-opens")) fast_opens();
      if (!strcmp(arguments[1], "segments")) segments(arguments[2]);
      if (!strcmp(arguments[1], "retransmissions")) retransmissions(arguments[2]);
      if (!strcmp(arguments[1], "exchanges")) exchanges(count > 2 ? arguments[2] : 0);
      return 0;
    }
    """
}
