package import Profiles

/// Stacks as BCC prints them, as JSON lines, or as CSV.
package enum StackWriter {
  /// Each stack innermost first, then `- command (pid)` and its value; the largest last, next to the prompt.
  package static func writeBlocks(_ profile: Profile, into out: inout [UInt8]) {
    for sample in sorted(profile).reversed() {
      let process = profile.processes[sample.process]
      for frame in profile.stacks[sample.stack].frames.reversed() {
        out.append(contentsOf: "    ".utf8)
        out.append(escaped: Array(frame.isDelimiter ? "--".utf8 : frame.function.utf8))
        out.append(0x0a)
      }
      out.append(contentsOf: "    -                ".utf8)
      out.append(escaped: process.command)
      out.append(contentsOf: " (\(process.pid ?? 0))\n        \(sample.value)\n\n".utf8)
    }
  }

  /// `{"type":"stack",…}` for each stack, the largest first; frames innermost first.
  package static func writeJSON(_ profile: Profile, into out: inout [UInt8]) {
    for sample in sorted(profile) {
      let process = profile.processes[sample.process]
      out.append(contentsOf: "{\"type\":\"stack\",\"comm\":".utf8)
      out.append(jsonString: process.command)
      out.append(contentsOf: ",\"pid\":\(process.pid ?? 0)".utf8)
      if let task = process.task { out.append(contentsOf: ",\"task\":\(task)".utf8) }
      out.append(contentsOf: ",\"value\":\(sample.value),\"unit\":\"\(profile.unit.name)\",".utf8)
      out.append(contentsOf: "\"count\":\(sample.count),\"frames\":[".utf8)
      for (index, frame) in profile.stacks[sample.stack].frames.filter({ !$0.isDelimiter }).reversed().enumerated() {
        if index > 0 { out.append(0x2c) }
        out.append(contentsOf: "{\"function\":".utf8)
        out.append(jsonString: Array(frame.function.utf8))
        out.append(contentsOf: ",\"module\":".utf8)
        out.append(jsonString: Array(frame.module.utf8))
        out.append(contentsOf: ",\"kernel\":\(frame.kind == .kernel),\"inlined\":\(frame.isInlined)".utf8)
        if let file = frame.file, frame.line > 0 {
          out.append(contentsOf: ",\"file\":".utf8)
          out.append(jsonString: Array(file.utf8))
          out.append(contentsOf: ",\"line\":\(frame.line)".utf8)
        }
        out.append(0x7d)
      }
      out.append(contentsOf: "]}\n".utf8)
    }
  }

  /// One row for each stack: command, pid, the frames from root to leaf joined by `;`, and the value.
  package static func writeCSV(_ profile: Profile, into out: inout [UInt8]) {
    out.append(contentsOf: "comm,pid,stack,\(profile.unit.name)\n".utf8)
    for sample in sorted(profile) {
      let process = profile.processes[sample.process]
      out.append(csv: process.command)
      out.append(contentsOf: ",\(process.pid ?? 0),".utf8)
      let names = profile.stacks[sample.stack].frames.map { foldedName($0, annotateKernel: false) }
      out.append(csv: Array(names.joined(separator: [0x3b])))
      out.append(contentsOf: ",\(sample.value)\n".utf8)
    }
  }

  /// The largest first; equal ones in a fixed order, so that output can be compared.
  private static func sorted(_ profile: Profile) -> [Profile.Sample] {
    profile.samples.enumerated().sorted { ($1.element.value, $0.offset) < ($0.element.value, $1.offset) }.map(\.element)
  }
}
