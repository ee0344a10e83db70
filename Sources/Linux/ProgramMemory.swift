internal import CLinux

/// The memory of this program itself.
package enum ProgramMemory {
  /// Gives back the code that has run once: libbpf's loader and the parser of options are several times what tracing itself needs.
  ///
  /// Code that is needed again is mapped again from the page cache, without reading the file.
  package static func releaseCode() { swtrace_release_code() }

  /// From now on, gives back large blocks as soon as they are freed. Call it first.
  package static func returnLargeBlocks() { swtrace_return_large() }

  /// Gives back what was allocated and freed: the C library keeps it for the next allocations.
  package static func releaseFreed() { swtrace_release_freed() }
}
