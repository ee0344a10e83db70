internal import Glibc

/// How many files a process may have open (getrlimit(2), RLIMIT_NOFILE).
package enum DescriptorLimit {
  /// What `raise` makes of it.
  package static var maximum: Int {
    var limit = rlimit()
    return unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? Int(clamping: limit.rlim_max) : 256
  }

  /// Raises it as far as this process may: a machine's processes map thousands of files, and each probe is one more.
  package static func raise() {
    var limit = rlimit()
    guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  }
}

/// Standard input, output and error.
package enum StandardDescriptors {
  /// Opens those that were closed by whoever started this program, so that no file of ours gets their numbers.
  ///
  /// Writing to them fails, as it would have done.
  package static func complete() {
    for number in 0...2 where fcntl(CInt(number), F_GETFD) < 0 { _ = unsafe open("/dev/null", number == 0 ? O_WRONLY : O_RDONLY) }
  }
}
