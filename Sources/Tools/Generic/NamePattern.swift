internal import Glibc

/// Which names are meant: one name, a pattern of the shell's kind, or a regular expression.
package struct NamePattern: ~Copyable {
  package let text: String
  private let expression: UnsafeMutablePointer<regex_t>?

  /// - Parameter isExpression: whether the text is an extended regular expression (regex(7)), found anywhere in a name.
  package init(_ text: String, isExpression: Bool) throws {
    self.text = text
    guard isExpression else {
      expression = nil
      return
    }
    let expression = UnsafeMutablePointer<regex_t>.allocate(capacity: 1)
    let status = regcomp(expression, text, REG_EXTENDED | REG_NOSUB)
    guard status == 0 else {
      var message = [CChar](repeating: 0, count: 256)
      regerror(status, expression, &message, message.count)
      expression.deallocate()
      let words = String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw ToolError("'\(text)' is no regular expression: \(words)")
    }
    self.expression = expression
  }

  deinit {
    if let expression {
      regfree(expression)
      expression.deallocate()
    }
  }

  /// Whether only one name can be meant.
  package var isOneName: Bool { expression == nil && !text.contains { "*?[".contains($0) } }

  package func matches(_ name: String) -> Bool {
    if let expression { return regexec(expression, name, 0, nil, 0) == 0 }
    return isOneName ? name == text : fnmatch(text, name, 0) == 0
  }

  /// The same on zero-terminated bytes, which need no `String`.
  func matches(_ name: UnsafePointer<CChar>) -> Bool {
    if let expression { return regexec(expression, name, 0, nil, 0) == 0 }
    return fnmatch(text, name, 0) == 0
  }
}
