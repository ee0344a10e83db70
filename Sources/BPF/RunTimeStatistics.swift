internal import Clibbpf
internal import Glibc
internal import Linux
internal import SystemPackage

/// While it exists, the kernel measures how long BPF programs run: about 20 ns for each run. Since 5.8.
package struct RunTimeStatistics: ~Copyable {
  private let owner: Descriptor

  /// - Throws: without CAP_SYS_ADMIN.
  package init() throws(BPFError) {
    let descriptor = bpf_enable_stats(BPF_STATS_RUN_TIME)
    guard descriptor >= 0 else { throw BPFError("measure", "the run time of BPF programs", errno: .init(rawValue: errno)) }
    owner = Descriptor(owning: descriptor)
  }
}
