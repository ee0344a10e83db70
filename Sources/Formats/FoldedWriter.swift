package import Profiles

/// Writes folded text, the form in which flame-graph tools exchange stacks: `command;root;…;leaf value`, one stack a line.
///
/// What `FoldedParser` reads, flamegraph.pl, inferno and speedscope read alike.
package enum FoldedWriter {
  /// The whole text, lines in the order of their bytes, equal stacks added up.
  ///
  /// - Parameter annotateKernel: whether kernel frames end in `_[k]` and inlined ones in `_[i]`, by which viewers color them.
  package static func write(_ profile: Profile, annotateKernel: Bool = false) -> [UInt8] {
    var output: [UInt8] = []
    write(profile, annotateKernel: annotateKernel, to: &output)
    return output
  }

  /// The same, appended to `output`.
  package static func write(_ profile: Profile, annotateKernel: Bool = false, to output: inout [UInt8]) {
    for line in lines(profile, annotateKernel: annotateKernel) {
      output += line.stack
      output.append(UInt8(ascii: " "))
      output += decimalText(line.value, decimals: profile.decimals).utf8
      output.append(UInt8(ascii: "\n"))
    }
  }

  /// The stacks in the order of their bytes, equal ones added up.
  static func lines(_ profile: Profile, annotateKernel: Bool = false) -> [(stack: [UInt8], value: UInt64)] {
    var lines: [(stack: [UInt8], value: UInt64)] = []
    lines.reserveCapacity(profile.samples.count)
    let commands = profile.processes.map { foldedCommand($0.command) }
    var names: [Frame.ID: [UInt8]] = [:]
    for sample in profile.samples {
      var line = commands[sample.process]
      for frame in profile.stacks.frameIDs(of: sample.stack) {
        line.append(UInt8(ascii: ";"))
        if let name = names[frame] {
          line += name
        } else {
          let name = foldedName(profile.stacks[frame], annotateKernel: annotateKernel)
          names[frame] = name
          line += name
        }
      }
      joinTrailingNumber(&line)
      lines.append((line, sample.value))
    }
    lines.sort { $0.stack.lexicographicallyPrecedes($1.stack) }

    var kept = 0
    for line in lines.indices.dropFirst() {
      if lines[line].stack == lines[kept].stack {
        // No larger than the profile's total, which is bounded.
        lines[kept].value &+= lines[line].value
      } else {
        kept += 1
        lines.swapAt(kept, line)
      }
    }
    lines.removeLast(max(lines.count - kept - 1, 0))
    return lines
  }
}

/// A frame's name in folded text, never empty: `;` becomes `:`, control characters and bytes that are not UTF-8 become `\xHH`.
package func foldedName(_ frame: Frame, annotateKernel: Bool) -> [UInt8] {
  foldedName(frame.function.utf8) + Array((!annotateKernel ? "" : frame.kind == .kernel ? "_[k]" : frame.isInlined ? "_[i]" : "").utf8)
}

/// Any name in folded text, never empty: `;` becomes `:`, control characters and bytes that are not UTF-8 become `\xHH`.
package func foldedName(_ bytes: some Collection<UInt8>) -> [UInt8] {
  // A frame without a name would be drawn as an empty box, or dropped.
  guard bytes.contains(where: { $0 != UInt8(ascii: " ") }) else { return Array("[unknown]".utf8) }
  return readableName(bytes).utf8.map { $0 == UInt8(ascii: ";") ? UInt8(ascii: ":") : $0 }
}

/// A command as the first of its line, which must not read as a comment.
private func foldedCommand(_ bytes: [UInt8]) -> [UInt8] {
  var name = foldedName(bytes)
  if let first = name.firstIndex(where: { $0 != UInt8(ascii: " ") }), name[first] == UInt8(ascii: "#") {
    name.replaceSubrange(first...first, with: #"\x23"#.utf8)
  }
  return name
}

/// Replaces the blank of a leaf such as `Thread 2`: readers take two numbers at a line's end for the two sides of a difference.
private func joinTrailingNumber(_ line: inout [UInt8]) {
  guard let blank = line.lastIndex(of: UInt8(ascii: " ")) else { return }
  let word = line[(blank + 1)...]
  if word.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || $0 == UInt8(ascii: ".") }) {
    line[blank] = UInt8(ascii: "_")
  }
}
