extension [UInt8] {
  /// Appends a number in decimal.
  package mutating func append(decimal value: UInt64) {
    if value < 10 { return append(UInt8(truncatingIfNeeded: value) + 0x30) }
    var digits: (UInt64, Int) = (value, 0)
    let start = count
    while digits.0 > 0 {
      append(UInt8(truncatingIfNeeded: digits.0 % 10) + 0x30)
      digits.0 /= 10
    }
    self[start...].reverse()
  }

  package mutating func append(decimal value: Int64) {
    if value < 0 { append(0x2d) }
    append(decimal: value.magnitude)
  }

  /// Appends a time of day as `14:03:59`.
  package mutating func append(timeOfDay time: (hour: Int, minute: Int, second: Int)) {
    for (index, part) in [time.hour, time.minute, time.second].enumerated() {
      if index > 0 { append(0x3a) }
      append(UInt8(truncatingIfNeeded: 0x30 + part / 10))
      append(UInt8(truncatingIfNeeded: 0x30 + part % 10))
    }
  }

  /// Appends `value / divisor` with so many decimals, rounded to nearest.
  package mutating func append(_ value: Int64, dividedBy divisor: UInt64, decimals: Int) {
    var scale: UInt64 = 1
    for _ in 0..<decimals { scale *= 10 }
    // The product of a 64-bit value and the scale needs 128 bits.
    let scaled = (UInt128(value.magnitude) * UInt128(scale) + UInt128(divisor / 2)) / UInt128(divisor)
    let (whole, fraction) = (UInt64(scaled / UInt128(scale)), UInt64(scaled % UInt128(scale)))
    if value < 0, scaled > 0 { append(0x2d) }
    append(decimal: whole)
    guard decimals > 0 else { return }
    append(0x2e)
    var unit = scale / 10
    while unit > 0 {
      append(UInt8(truncatingIfNeeded: fraction / unit % 10) + 0x30)
      unit /= 10
    }
  }
}
