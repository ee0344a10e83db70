internal import Formats

/// A value to be written as JSON. Objects keep the order of their members.
enum JSON {
  case null
  case bool(Bool)
  case number(Double)
  case integer(Int64)
  case natural(UInt64)
  case string(String)
  case array([JSON])
  case object([(String, JSON)])

  static func strings(_ texts: some Sequence<String>) -> JSON { .array(texts.map(JSON.string)) }
  static func naturals(_ numbers: some Sequence<UInt64>) -> JSON { .array(numbers.map(JSON.natural)) }

  var bytes: [UInt8] {
    var json = ScriptJSON()
    write(to: &json)
    json.bytes.append(UInt8(ascii: "\n"))
    return json.bytes
  }

  private func write(to json: inout ScriptJSON) {
    switch self {
    case .null: json.bytes += "null".utf8
    case .bool(let value): json.bytes += (value ? "true" : "false").utf8
    case .number(let value): json.bytes += (value.isFinite ? "\(value)" : "null").utf8
    case .integer(let value): json.bytes += String(value).utf8
    case .natural(let value): json.bytes += String(value).utf8
    case .string(let value): json.string(value)
    case .array(let elements):
      json.bytes.append(UInt8(ascii: "["))
      for (index, element) in elements.enumerated() {
        if index > 0 { json.bytes.append(UInt8(ascii: ",")) }
        element.write(to: &json)
      }
      json.bytes.append(UInt8(ascii: "]"))
    case .object(let members):
      json.bytes.append(UInt8(ascii: "{"))
      for (index, (name, value)) in members.enumerated() {
        if index > 0 { json.bytes.append(UInt8(ascii: ",")) }
        json.string(name)
        json.bytes.append(UInt8(ascii: ":"))
        value.write(to: &json)
      }
      json.bytes.append(UInt8(ascii: "}"))
    }
  }
}
