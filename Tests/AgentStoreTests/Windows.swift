import AgentModel
import Profiles
import TestSupport

@testable import AgentStore

/// A window of given series: labels, and stacks of functions, separated by `;`, with their values.
func window(
  _ start: Int64, type: ProfileType = .cpu, covered: UInt64 = 10_000_000_000, lost: UInt64 = 0,
  _ series: [(service: String, values: [(stack: String, value: UInt64)])]
) -> ProfileWindow {
  var window = ProfileWindow(type: type, start: start, covered: covered, period: 10_101_010, lost: lost)
  var frames: [String: UInt32] = [:]
  var stacks: [String: Int] = [:]
  for (service, values) in series {
    var samples: [ProfileWindow.Sample] = []
    for (stack, value) in values {
      if stacks[stack] == nil {
        stacks[stack] = window.stacks.count
        window.stacks.append(
          stack.split(separator: ";").map { name in
            let name = String(name)
            if let known = frames[name] { return known }
            frames[name] = UInt32(window.frames.count)
            window.frames.append(Frame(function: name, module: "program"))
            return frames[name]!
          })
      }
      samples.append(ProfileWindow.Sample(stack: stacks[stack]!, value: value))
    }
    window.series.append(ProfileWindow.Series(labels: Labels([("host", "one"), ("service", service)]), samples: samples))
  }
  return window
}

extension Store {
  /// A store in a folder, at the time 0.
  convenience init(in folder: TemporaryFolder, options: Options = Options()) throws {
    try self.init(path: folder.file("store.db"), options: options, now: 0)
  }

  /// What is in a range, as `service: frames;of;a;stack value`, sorted.
  func text(_ range: Range<Int64>, _ matchers: [Matcher] = [], type: ProfileType = .cpu) async throws -> [String] {
    let profile = try await profile(Query(type, matchers, in: range))
    return profile.samples.map { sample in
      let names = profile.stacks[sample.stack].frames.map(\.function).joined(separator: ";")
      return "\(String(decoding: profile.processes[sample.process].command, as: UTF8.self)): \(names) \(sample.value)"
    }.sorted()
  }

  /// How many rows a query counts.
  func count(_ sql: String) async throws -> Int64 { try await read { try $0.integer("SELECT count(*) FROM " + sql) ?? 0 } }
}
