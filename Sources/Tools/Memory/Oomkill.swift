package import ArgumentParser
package import BPF
internal import CProbes
package import Formats
internal import Glibc
package import Linux

/// Prints each process that the kernel chose because memory ran out: who needed memory, who was killed, what it had.
///
/// Overhead: hooks at signals and when memory runs out.
package struct Oomkill: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "oomkill", abstract: "Trace the kills of the kernel's out-of-memory killer.",
    discussion: """
      FPID and FCOMM asked for the memory that ran out. TPID and TCOMM are the victim,
      of which the other columns are: ADJ is its oom_score_adj, RSS what it had in
      memory. SCOPE says where memory ran out: cgroup, system, cpuset or mempolicy;
      PAGES is how many there are in all, as the limit of the cgroup. DYING is a
      victim that was ending anyway: it gets no signal. The options that choose
      tasks test the victim.

      Overhead: about 0.08 us for each signal, 5.5 us for each kill.

      Example: the kills in a service's cgroup, as JSON
        swtrace oomkill --cgroup system.slice/nginx.service --format json
      """)

  package static let activity = "tracing kills"

  @OptionGroup package var session: SessionOptions<Oomkill>
  @Flag(name: [.customShort("l"), .customLong("loadavg")], help: "Print the load averages.") var printsLoad = false

  private let pageSize = UInt64(sysconf(Int32(_SC_PAGESIZE)))

  private enum CodingKeys: String, CodingKey { case session, printsLoad }

  package init() {}

  package var hooks: [Hook] {
    [
      Hook("the choice of processes", ["mark_btf", "mark_raw"]),
      Hook("signals of the kernel", ["signal_btf", "signal_raw"]),
      Hook("the scope of choices", ["choice_fentry", "choice_kprobe"], without: "columns SCOPE and PAGES"),
    ]
  }

  /// One kill.
  package struct Row {
    var event: oomkill_event
    var time: Int64
    var command: Text
    var triggerCommand: Text
    /// The path of the victim's memory cgroup, where it is known.
    package var path: Text?
    /// As in /proc/loadavg: the three averages.
    var load: String
    var pageSize: UInt64

    var scope: String? {
      switch oomkill_scope(UInt32(event.scope)) {
      case OOMKILL_SYSTEM: "system"
      case OOMKILL_CPUSET: "cpuset"
      case OOMKILL_MEMORY_POLICY: "mempolicy"
      case OOMKILL_CGROUP: "cgroup"
      default: nil
      }
    }

    /// A number of the victim's, in bytes where it was in pages; none where only its thread id is known.
    func known(_ value: UInt64) -> Cell { event.is_known != 0 ? .unsigned(value) : .none }
    func pages(_ count: UInt64) -> Cell { known(count * pageSize) }
  }

  package mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    let event = record.header(oomkill_event.self)
    let names = record.extracting(droppingFirst: MemoryLayout<oomkill_event>.size).extracting(first: Int(event.path_length))
    let load = ProcFile.read("/proc/loadavg")?.split(separator: " ").prefix(3).joined(separator: " ") ?? ""
    return Row(
      event: event, time: clock.unix(event.time_ns), command: Text(comm: event.comm), triggerCommand: Text(comm: event.trigger_comm),
      path: event.has_path != 0 ? PathNames.folder(names: names) : nil, load: load, pageSize: pageSize)
  }

  package var columns: [Column<Row>] {
    [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock) { .integer($0.time) },
      Column("FPID", key: "trigger_pid", width: 7) { .unsigned(UInt64($0.event.trigger_pid)) },
      Column("FTID", key: "trigger_tid", width: 7, inTable: false) { .unsigned(UInt64($0.event.trigger_tid)) },
      Column("FCOMM", key: "trigger_comm", width: 16) { .text($0.triggerCommand) },
      Column("TPID", key: "pid", width: 7) { $0.known(UInt64($0.event.pid)) },
      Column("TTID", key: "tid", width: 7, inTable: false) { .unsigned(UInt64($0.event.tid)) },
      Column("TCOMM", key: "comm", width: 16) { $0.event.is_known != 0 ? .text($0.command) : .none },
      Column("UID", width: 6) { $0.known(UInt64($0.event.uid)) },
      Column("ADJ", key: "oom_score_adj", width: 5, alignment: .right) {
        $0.event.is_known != 0 ? .integer(Int64($0.event.score_adjustment)) : .none
      },
      Column("RSS(KB)", key: "rss_bytes", width: 10, alignment: .right, style: .scaled(by: 1024, decimals: 0)) {
        $0.pages($0.event.anonymous_pages + $0.event.file_pages + $0.event.shared_pages)
      },
      Column("ANON", key: "anonymous_bytes", width: 0, inTable: false) { $0.pages($0.event.anonymous_pages) },
      Column("FILE", key: "file_bytes", width: 0, inTable: false) { $0.pages($0.event.file_pages) },
      Column("SHMEM", key: "shared_bytes", width: 0, inTable: false) { $0.pages($0.event.shared_pages) },
      Column("VIRTUAL", key: "virtual_bytes", width: 0, inTable: false) { $0.pages($0.event.virtual_pages) },
      Column("TABLES", key: "page_table_bytes", width: 0, inTable: false) { $0.known($0.event.table_bytes) },
      Column("SCOPE", width: 9) { $0.scope.map { .string($0) } ?? .none },
      Column("PAGES", key: "scope_pages", width: 9, alignment: .right) { $0.scope == nil ? .none : .unsigned($0.event.scope_pages) },
      Column("DYING", key: "was_dying", width: 5) { .flag($0.event.was_dying != 0) },
      Column("LOADAVG", width: 14, inTable: printsLoad) { .string($0.load) },
      Column("CGROUP", width: 0) { $0.path.map { .text($0) } ?? .none },
    ]
  }
}
