internal import CLinux
internal import Glibc

/// A process: the kernel's tgid, in swtrace's own pid namespace.
package struct ProcessID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package var rawValue: UInt32
  package init(_ rawValue: UInt32) { self.rawValue = rawValue }
  package var description: String { "\(rawValue)" }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An address in a process's user space, as the processor sees it.
package struct VirtualAddress: Hashable, Comparable, Sendable {
  package var rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// An address in the kernel.
package struct KernelAddress: Hashable, Comparable, Sendable {
  package var rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// A position in a file, in bytes; what a mapping and a `PT_LOAD` segment have in common.
package struct FileOffset: Hashable, Comparable, Sendable {
  package var rawValue: UInt64
  package init(_ rawValue: UInt64) { self.rawValue = rawValue }
  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// The pid namespace that swtrace runs in (pid_namespaces(7)).
package enum ProcessNamespace {
  /// Whether numbers of processes mean here what they mean to the kernel's programs.
  package static let isInitial: Bool = {
    var status = stat()
    // PROC_PID_INIT_INO of Linux's include/linux/proc_ns.h.
    return unsafe stat("/proc/self/ns/pid", &status) != 0 || status.st_ino == 0xEFFF_FFFC
  }()
}
