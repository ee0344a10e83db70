internal import Formats
internal import Glibc
internal import Profiles
internal import SystemPackage

/// What is made of a profile, whoever measured it.
enum ProfileOutput {
  /// - Parameter rows: the most functions of a table.
  static func write(
    _ profile: Profile, as format: OutputFormat, _ recording: Recording, _ options: FlameGraph.Options, annotate: Bool,
    rows: Int = FunctionTable.usualLimit, into out: inout [UInt8]
  ) {
    switch format {
    case .folded: FoldedWriter.write(profile, annotateKernel: annotate, to: &out)
    case .pprof: out += PprofWriter.write(profile, recording)
    case .speedscope: out += SpeedscopeWriter.write(profile, recording)
    case .firefox: out += FirefoxWriter.write(profile, recording)
    case .svg: out += FlameGraph.svg(profile, options: options)
    case .html: out += FlameGraph.html(profile, options: options)
    case .json: StackWriter.writeJSON(profile, into: &out)
    case .csv: StackWriter.writeCSV(profile, into: &out)
    case .stacks: StackWriter.writeBlocks(profile, into: &out)
    case .table: FunctionTable.write(profile, limit: rows, into: &out)
    }
  }

  /// Refuses to show a terminal what it cannot show.
  static func ensureReadable(_ format: OutputFormat, path: String?) throws {
    if format == .pprof, path == nil, isatty(1) != 0 { throw ToolError("pprof files are binary; name one with --output") }
  }
}

/// A profile from a file, and what the file says about it.
struct ProfileInput {
  enum Format: String, CaseIterable {
    case folded, pprof
    case perfScript = "perf-script"
  }

  var profile: Profile
  var recording: Recording
  /// The file's name, as a title.
  var name: String

  /// - Parameters:
  ///   - path: `-` for standard input.
  ///   - format: nil to tell by what is in it.
  ///   - unit: of folded text, which does not say.
  ///   - event: of perf's text, when it has more than one.
  ///   - type: of pprof's values, when it has more than one.
  init(_ path: String, format: Format? = nil, unit: Profile.Unit = .samples, event: String? = nil, type: String? = nil) throws {
    guard !path.isEmpty else { throw ToolError("the name of the profile is empty; write - for standard input") }
    let input = path == "-" ? "standard input" : readableName(path.utf8)
    name = path == "-" ? input : String(input.split(separator: "/").last ?? "profile")
    recording = Recording()
    var bytes = try Self.read(path, input)
    do { bytes = try PprofReader.decompressed(bytes) } catch { throw ToolError("cannot read \(input): \(error)") }
    switch format ?? Self.format(of: bytes) {
    case .pprof:
      do {
        let result = try PprofReader.read(bytes, type: type)
        (profile, recording) = (result.profile, result.recording)
      } catch { throw ToolError("cannot read \(input) as pprof: \(error)") }
    case .perfScript:
      do { profile = try PerfScriptParser.parse(bytes, event: event) } catch {
        throw ToolError("cannot read \(input) as text of perf script: \(error)")
      }
    case .folded:
      do { profile = try FoldedParser.parse(bytes, unit: unit) } catch {
        throw ToolError("cannot read \(input) as folded stacks: \(error)")
      }
      // A line's count is of samples, or a sum of which nobody knows how many it adds up.
      recording.hasCounts = unit == .samples
    }
    recording.title = name
  }

  private static func format(of bytes: [UInt8]) -> Format {
    PprofReader.recognizes(bytes) ? .pprof : PerfScriptParser.recognizes(bytes) ? .perfScript : .folded
  }

  /// The largest input: beyond it a page would not open in any browser either.
  private static let sizeLimit = 512 << 20

  private static func read(_ path: String, _ input: String) throws -> [UInt8] {
    do {
      if path == "-" { return try read(.standardInput, input) }
      let descriptor = try FileDescriptor.open(FilePath(path), .readOnly, options: .closeOnExec)
      return try descriptor.closeAfter { try read(descriptor, input) }
    } catch let error as Errno {
      throw ToolError("cannot read \(input): \(error)")
    }
  }

  private static func read(_ descriptor: FileDescriptor, _ input: String) throws -> [UInt8] {
    var bytes: [UInt8] = []
    let chunk = 1 << 18
    while bytes.count <= sizeLimit {
      let text = try [UInt8](unsafeUninitializedCapacity: chunk) { buffer, count in
        count = try descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
      }
      if text.isEmpty { return bytes }
      bytes += text
    }
    throw ToolError("cannot read \(input): it is larger than \(sizeLimit >> 20) MiB; leave out what is not needed")
  }
}
