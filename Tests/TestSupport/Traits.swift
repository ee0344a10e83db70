internal import Glibc
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
