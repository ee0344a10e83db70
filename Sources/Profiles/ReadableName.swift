/// Text that can be shown from bytes that can be anything (process names, folded text).
///
/// Control characters (C0, DEL and C1, which terminals obey) and bytes that are not UTF-8 become `\xHH`; all else stays as it is.
package func readableName(_ bytes: some Collection<UInt8>) -> String {
  if bytes.allSatisfy({ (0x20..<0x7F).contains($0) }) { return String(decoding: bytes, as: UTF8.self) }
  var name = ""
  var rest = Array(bytes)[...]
  while let first = rest.first {
    let length = scalarLength(first)
    let candidate = rest.prefix(length)
    if length > 0, candidate.count == length, let text = String(validating: candidate, as: UTF8.self),
      let scalar = text.unicodeScalars.first, scalar.properties.generalCategory != .control
    {
      name += text
      rest = rest.dropFirst(length)
    } else {
      // A C1 control is valid and two bytes long; any other escape is of one byte, so that decoding resumes at the next.
      let escaped = first == 0xC2 && candidate.count == 2 && (0x80..<0xA0).contains(candidate.last ?? 0) ? 2 : 1
      for byte in rest.prefix(escaped) { name += "\\x" + hexadecimal(byte >> 4) + hexadecimal(byte & 15) }
      rest = rest.dropFirst(escaped)
    }
  }
  return name
}

/// The length of a UTF-8 sequence by its first byte, or 0 where none can start.
private func scalarLength(_ first: UInt8) -> Int {
  switch first {
  case 0..<0x80: 1
  case 0xC2..<0xE0: 2
  case 0xE0..<0xF0: 3
  case 0xF0..<0xF5: 4
  default: 0
  }
}

private func hexadecimal(_ nibble: UInt8) -> String { String(nibble, radix: 16, uppercase: true) }
