internal import CLinux

/// Waiting for what runs in the kernel.
package enum KernelBarrier {
  /// Returns when every BPF program that runs now has ended; those that start meanwhile see what was written to maps before.
  ///
  /// Under Linux 7.2 it does not wait for programs at functions of other programs (docs/loss.md).
  ///
  /// Programs run in RCU read-side sections, and membarrier's global command waits for a grace period: 5 to 30 ms. Where the kernel
  /// refuses it (`nohz_full`, or built without it) this returns at once; callers need another way to notice late programs.
  package static func waitForPrograms() { _ = swtrace_membarrier_global() }
}
