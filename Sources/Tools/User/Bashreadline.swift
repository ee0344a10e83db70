package import ArgumentParser
package import BPF
internal import CProbes
internal import DebugInfo
package import Formats
package import Linux
internal import SystemPackage

/// Prints each line that is typed into bash.
///
/// Overhead: one trap for each line typed.
package struct Bashreadline: EventTool {
  package static let configuration = CommandConfiguration(
    commandName: "bashreadline", abstract: "Trace the lines typed into bash, complete, of all running shells.",
    discussion: """
      The function readline is looked up in bash, or in the library that it uses. With
      --shared any program with that file is traced, whatever it is called.

      Overhead: about 3.5 us for each line typed.

      Example: what is typed into everything that uses the library
        swtrace bashreadline -s libreadline.so.8
      """)

  package static let activity = "tracing typed lines"

  @OptionGroup package var session: SessionOptions<Bashreadline>
  @Option(name: [.customShort("s"), .long], help: ArgumentHelp("Look in this program or library.", valueName: "file"))
  var shared: String?

  /// Looked up before anything is loaded.
  private var place: Place?
  private var pieces = Pieces()

  private struct Place {
    var path: String
    var offset: UInt64
  }

  private enum CodingKeys: String, CodingKey { case session, shared }

  package init() {}

  package var hooks: [Hook] { [Hook("typed lines", ["line_return"], attachedByTool: true)] }

  package mutating func prepare() throws { place = try findPlace() }

  private func findPlace() throws -> Place {
    let finder = BinaryFinder(process: nil)
    if let shared { return try Self.readline(in: finder.find(shared)) }
    let bash = try finder.find("/bin/bash")
    do { return try Self.readline(in: bash) } catch {
      // A bash that uses the library has no readline of its own.
      guard let library = try? finder.find("libreadline") else { throw error }
      return try Self.readline(in: library)
    }
  }

  private static func readline(in path: String) throws -> Place {
    let functions: [ProbePoints.Function]
    do { functions = try ProbePoints(FilePath(path)).functions } catch { throw ToolError("\(error)") }
    guard let found = functions.first(where: { $0.name == "readline" && !$0.isIndirect }) else {
      let nearest = Suggestions.nearest("readline", among: functions.map(\.name))
      let others = nearest.isEmpty ? "it names no function like it" : "the nearest are \(nearest.joined(separator: ", "))"
      throw ToolError("\(path) has no function readline; \(others); name the library with --shared")
    }
    return Place(path: path, offset: found.offset)
  }

  package func attach(_ probe: borrowing LoadedProbe, _ programs: [String?], _ links: inout Links) throws(BPFError) -> [String] {
    if let place {
      links.add(try probe.attach("line_return", uprobe: FilePath(place.path), offset: place.offset, atReturn: true, process: nil))
    }
    return []
  }

  /// One line.
  package struct Row {
    var event: bashreadline_event
    var time: Int64
    var command: Text
    var line: Text
    var isComplete: Bool
  }

  package mutating func row(_ record: RawSpan, _ clock: WallClock) -> Row? {
    if pieces.keep(record) { return nil }
    let event = record.header(bashreadline_event.self)
    var line = pieces.take(pid: event.pid, time: event.time_ns)
    line.append(record.extracting(droppingFirst: MemoryLayout<bashreadline_event>.size), count: Int(event.length))
    return Row(
      event: event, time: clock.unix(event.time_ns), command: Text(comm: event.comm), line: Text(line),
      isComplete: event.flags & UInt32(BASHREADLINE_CUT) == 0)
  }

  package var columns: [Column<Row>] {
    [
      Column("TIME", key: "time_unix_ns", width: 8, style: .clock) { .integer($0.time) },
      Column("PID", width: 7) { .unsigned(UInt64($0.event.pid)) },
      Column("UID", width: 6, inTable: false) { .unsigned(UInt64($0.event.uid)) },
      Column("COMM", width: 16, inTable: false) { .text($0.command) },
      Column("COMMAND", width: 0) { .text($0.isComplete ? $0.line : Text($0.line.bytes + Array("...".utf8))) },
      Column("COMPLETE", key: "command_complete", width: 0, inTable: false) { .flag($0.isComplete) },
    ]
  }
}
