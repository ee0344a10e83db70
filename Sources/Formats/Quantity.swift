import Profiles

/// A count of 10^-decimals, exact, without trailing zeros: 1250 with 2 decimals is `12.5`.
func decimalText(_ value: UInt64, decimals: Int) -> String {
  guard decimals > 0 else { return String(value) }
  var digits = String(value)
  digits = String(repeating: "0", count: max(decimals + 1 - digits.count, 0)) + digits
  let point = digits.index(digits.endIndex, offsetBy: -decimals)
  var fraction = digits[point...]
  while fraction.last == "0" { fraction.removeLast() }
  return fraction.isEmpty ? String(digits[..<point]) : digits[..<point] + "." + fraction
}

/// A number with exactly `digits` digits after the point, rounded half away from zero. For magnitudes below 10^15.
func fixed(_ number: Double, digits: Int) -> String {
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = UInt64((abs(number) * scale).rounded())
  var text = String(scaled)
  text = String(repeating: "0", count: max(digits + 1 - text.count, 0)) + text
  if digits > 0 { text.insert(".", at: text.index(text.endIndex, offsetBy: -digits)) }
  return number < 0 && scaled > 0 ? "-" + text : text
}

/// Thousands set apart: `1,234,567`; a fraction stays as it is.
func grouped(_ number: String) -> String {
  let whole = number.prefix { $0 != "." }
  var text = ""
  for (index, digit) in whole.enumerated() {
    if index > 0, (whole.count - index) % 3 == 0 { text += "," }
    text.append(digit)
  }
  return text + number.dropFirst(whole.count)
}

/// A share of a whole, `12.34%`; what is not nothing is not shown as nothing.
func percentText(_ part: UInt64, of whole: UInt64) -> String {
  guard part > 0, whole > 0 else { return "0%" }
  let percent = Double(part) / Double(whole) * 100
  return percent < 0.005 ? "<0.01%" : fixed(percent, digits: 2) + "%"
}

/// Values of a profile as people read them: `1,234 samples`, `12.3 ms`, `1.50 MiB`.
struct Quantity {
  let unit: Profile.Unit
  let decimals: Int

  init(_ profile: Profile) {
    unit = profile.unit
    decimals = profile.decimals
  }

  func text(_ value: UInt64) -> String {
    switch unit {
    case .nanoseconds: scaled(value, steps: [("ns", 1), ("µs", 1e3), ("ms", 1e6), ("s", 1e9)])
    case .microseconds: scaled(value, steps: [("µs", 1), ("ms", 1e3), ("s", 1e6)])
    case .milliseconds: scaled(value, steps: [("ms", 1), ("s", 1e3)])
    case .bytes: scaled(value, steps: [("bytes", 1), ("KiB", 1024), ("MiB", 1_048_576), ("GiB", 1_073_741_824)])
    case .samples: counted(value, value == 1 && decimals == 0 ? "sample" : "samples")
    case .other(let name): counted(value, name)
    }
  }

  private func counted(_ value: UInt64, _ name: String) -> String {
    let number = grouped(decimalText(value, decimals: decimals))
    return name.isEmpty ? number : "\(number) \(name)"
  }

  /// In the largest unit that leaves at least 1, with three digits or more.
  private func scaled(_ value: UInt64, steps: [(name: String, size: Double)]) -> String {
    var number = Double(value)
    for _ in 0..<decimals { number /= 10 }
    guard let step = steps.last(where: { number >= $0.size }) ?? steps.first else { return counted(value, unit.name) }
    if step.size == 1 { return counted(value, step.name) }
    number /= step.size
    return grouped(fixed(number, digits: number < 10 ? 2 : number < 100 ? 1 : 0)) + " " + step.name
  }
}
