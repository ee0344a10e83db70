extension FlameGraph {
  /// The colors of frames: by kind first, then by module, or by name where no module is known. The same frame always has the same color.
  enum Palette {
    /// A fill for light surroundings with dark text, and one for dark surroundings with light text.
    struct Color {
      let light: String
      let dark: String
    }

    /// All colors; `index` points here.
    static let colors: [Color] =
      hues(of: .user).flatMap { shades($0, saturation: 0.55) } + hues(of: .kernel).flatMap { shades($0, saturation: 0.85) }
      + hues(of: .inlined).flatMap { shades($0, saturation: 0.55) }
      + [
        Color(light: hex(0, 0, 0.84), dark: hex(0, 0, 0.28)),
        Color(light: hex(215, 0.22, 0.80), dark: hex(215, 0.18, 0.33)),
        Color(light: hex(215, 0.12, 0.90), dark: hex(215, 0.10, 0.24)),
      ]

    static func index(of label: Label) -> Int {
      let user = hues(of: .user).count * 2
      let kernel = hues(of: .kernel).count * 2
      let inlined = hues(of: .inlined).count * 2
      switch label.kind {
      case .user: return pick(label, hues(of: .user).count)
      case .kernel: return user + pick(label, hues(of: .kernel).count)
      case .inlined: return user + kernel + pick(label, hues(of: .inlined).count)
      case .marker: return user + kernel + inlined
      case .process: return user + kernel + inlined + 1
      case .all: return user + kernel + inlined + 2
      }
    }

    /// A color that stands for the whole kind in a legend.
    static func index(of kind: Kind) -> Int {
      switch kind {
      case .user: 10
      case .kernel: hues(of: .user).count * 2
      case .inlined: (hues(of: .user).count + hues(of: .kernel).count) * 2
      case .marker: colors.count - 3
      case .process: colors.count - 2
      case .all: colors.count - 1
      }
    }

    /// Modules of their own colors, the most different ones first; the last color is for all other modules.
    static let modules: [Color] =
      [212, 28, 130, 275, 55, 340, 175, 245, 95, 8, 195, 310].map { shades($0, saturation: 0.55)[0] }
      + [Color(light: hex(215, 0.12, 0.86), dark: hex(215, 0.08, 0.29))]

    /// How many steps a change has either way.
    static let changeSteps = 8
    /// The colors of changes: from the deepest blue, what shrank most, over gray to the deepest red.
    static let changes: [Color] = (-changeSteps...changeSteps).map { step in
      Color(
        light: change(step, none: 225, full: step > 0 ? [240, 90, 80] : [90, 150, 245]),
        dark: change(step, none: 70, full: step > 0 ? [150, 40, 40] : [40, 80, 170]))
    }

    private static func change(_ step: Int, none: Double, full: [Double]) -> String {
      let share = step == 0 ? 0 : 0.15 + 0.85 * Double(abs(step)) / Double(changeSteps)
      return hex(full.map { none + ($0 - none) * share })
    }

    /// Warm is the kernel, pink what was inlined, the cool rest are programs and libraries.
    private static func hues(of kind: Kind) -> [Double] {
      switch kind {
      case .user: [88, 120, 150, 172, 192, 212, 235, 260]
      case .kernel: [14, 28, 42]
      case .inlined: [300, 318, 336]
      default: []
      }
    }

    /// The module decides the hue and the function the shade; each hue has two.
    private static func pick(_ label: Label, _ hues: Int) -> Int {
      let function = hash(label.text)
      let hue = label.module.isEmpty || label.kind == .kernel ? function / 2 : hash(label.module)
      return Int(hue % UInt32(hues)) * 2 + Int(function % 2)
    }

    private static func shades(_ hue: Double, saturation: Double) -> [Color] {
      [
        Color(light: hex(hue, saturation, 0.70), dark: hex(hue, saturation * 0.65, 0.30)),
        Color(light: hex(hue, saturation, 0.77), dark: hex(hue, saturation * 0.65, 0.36)),
      ]
    }

    /// FNV-1a: the same in every run, unlike Swift's own hashing.
    private static func hash(_ text: String) -> UInt32 {
      text.utf8.reduce(2_166_136_261) { ($0 ^ UInt32($1)) &* 16_777_619 }
    }

    /// `#rrggbb`, which every renderer of SVG knows. Hue in degrees, the others from 0 to 1.
    private static func hex(_ hue: Double, _ saturation: Double, _ lightness: Double) -> String {
      let chroma = saturation * min(lightness, 1 - lightness)
      let channels = [0.0, 8, 4].map { offset in
        let position = (offset + hue / 30).truncatingRemainder(dividingBy: 12)
        return (lightness - chroma * max(-1, min(position - 3, 9 - position, 1))) * 255
      }
      return hex(channels)
    }

    private static func hex(_ channels: [Double]) -> String {
      "#"
        + channels.map { channel in
          let text = String(Int(channel.rounded()), radix: 16)
          return text.count < 2 ? "0" + text : text
        }.joined()
    }
  }
}
