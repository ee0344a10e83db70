internal import Glibc
internal import Synchronization
package import Testing

extension Trait where Self == ConditionTrait {
  /// The test loads programs into the kernel: it needs root and the kernel's BTF.
  ///
  /// Under `SWTRACE_REQUIRE_BPF=1`, which `make test` and CI set, it is never skipped: what is missing then fails it.
  package static var requiresBPF: Self {
    .enabled("needs root and /sys/kernel/btf/vmlinux") {
      getenv("SWTRACE_REQUIRE_BPF") != nil || (geteuid() == 0 && access("/sys/kernel/btf/vmlinux", R_OK) == 0)
    }
  }
}

/// The test compares a tool with the kernel's own trace of task switches, and is tried up to five times.
///
/// Some kernels run no BPF program for switches during some ms, now and then, and count nothing as missed: libbpf-tools' runqlat counts
/// fewer waits than the trace then, too (in 3 of 40 runs on 6.18 in a virtual machine, where swtrace's did in 6 of 60). What is wrong each
/// time fails.
package struct SwitchesMayBeHidden: SuiteTrait, TestTrait, TestScoping {
  package let isRecursive = true

  package func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
    guard testCase != nil else { return try await function() }
    for _ in 0..<4 {
      let hasFailed = Atomic(false)
      try await withKnownIssue("the kernel may have hidden switches", isIntermittent: true) {
        try await function()
      } matching: { _ in
        hasFailed.store(true, ordering: .sequentiallyConsistent)
        return true
      }
      if !hasFailed.load(ordering: .sequentiallyConsistent) { return }
    }
    try await function()
  }
}

extension Trait where Self == SwitchesMayBeHidden {
  package static var switchesMayBeHidden: Self { .init() }
}
