internal import Glibc
internal import Linux
internal import SystemPackage

/// Servers that have debug files by build ID, asked only when the user wants that (debuginfod(8)).
///
/// The work is that of libdebuginfod, loaded when it is needed: it keeps a cache and knows proxies and certificates.
@safe
package final class DebugInformationServers {
  private typealias Begin = @convention(c) () -> OpaquePointer?
  private typealias Find =
    @convention(c) (OpaquePointer, UnsafePointer<UInt8>, CInt, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt
  private typealias End = @convention(c) (OpaquePointer) -> Void
  private typealias Report = @convention(c) (OpaquePointer?, CLong, CLong) -> CInt
  private typealias SetReport = @convention(c) (OpaquePointer, Report?) -> Void

  private let client: OpaquePointer
  private let find: Find
  private let end: End

  /// Why the servers cannot be asked.
  package struct Unavailable: Error, CustomStringConvertible {
    package var description: String
  }

  /// One file at most so large, and at most so long; the library's own variables go before.
  private static let limits = ["DEBUGINFOD_MAXSIZE": "1073741824", "DEBUGINFOD_MAXTIME": "120", "DEBUGINFOD_TIMEOUT": "20"]

  package init() throws(Unavailable) {
    guard let servers = unsafe getenv("DEBUGINFOD_URLS"), unsafe servers.pointee != 0 else {
      throw Unavailable(
        description: "--debuginfod needs the addresses of servers in DEBUGINFOD_URLS, such as https://debuginfod.elfutils.org/")
    }
    for (name, value) in Self.limits { unsafe setenv(name, value, 0) }
    guard let library = unsafe dlopen("libdebuginfod.so.1", RTLD_NOW), let begin = unsafe dlsym(library, "debuginfod_begin"),
      let find = unsafe dlsym(library, "debuginfod_find_debuginfo"), let end = unsafe dlsym(library, "debuginfod_end")
    else {
      throw Unavailable(description: "--debuginfod needs libdebuginfod.so.1; install it: apt-get install libdebuginfod1")
    }
    guard let client = unsafe unsafeBitCast(begin, to: Begin.self)() else { throw Unavailable(description: "libdebuginfod cannot begin") }
    unsafe self.client = unsafe client
    unsafe self.find = unsafe unsafeBitCast(find, to: Find.self)
    unsafe self.end = unsafe unsafeBitCast(end, to: End.self)
    if isatty(2) != 0, let report = unsafe dlsym(library, "debuginfod_set_progressfn") {
      unsafe unsafeBitCast(report, to: SetReport.self)(client) { _, done, total in
        // A zero for the total stands for an answer that has not come.
        let text =
          total > 0 ? "\r\u{1b}[Kfetching debug information, \(done >> 20) of \(total >> 20) MB" : "\r\u{1b}[Kasking for debug information"
        unsafe write(2, text, text.utf8.count)
        return 0
      }
    }
  }

  deinit { unsafe end(client) }

  /// The debug file of a build, from the library's cache or a server; nil where nobody has it within the limits.
  func debugFile(of identifier: BuildID) -> ELFFile? {
    let descriptor = unsafe find(client, identifier.bytes, CInt(identifier.bytes.count), nil)
    if isatty(2) != 0 { unsafe write(2, "\r\u{1b}[K", 4) }
    guard descriptor >= 0 else { return nil }
    return try? ELFFile(Descriptor(owning: descriptor), name: "debuginfod:\(identifier)", isOurs: false)
  }
}
