// The standard library's `contains(_:)` for parts of text brings its engine of regular expressions into the program: more than a megabyte.

extension Collection<UInt8> {
  /// Whether it has these bytes in this order.
  package func has(_ part: some Collection<UInt8>) -> Bool {
    var rest = self[...]
    for _ in 0...count {
      if rest.starts(with: part) { return true }
      rest = rest.dropFirst()
    }
    return false
  }
}

extension StringProtocol {
  /// Whether it has these characters in this order.
  package func has(_ part: String) -> Bool { utf8.has(part.utf8) }
}
