package import ArgumentParser
internal import DebugInfo
internal import Formats
internal import Glibc
internal import Linux
internal import Profiles
internal import Symbolication
internal import SystemPackage

/// Names addresses of a file, without tracing anything.
package struct Symbolize: ParsableCommand, FormattedOutput {
  package static let configuration = CommandConfiguration(
    abstract: "Name the addresses of a program or library.", usage: "swtrace symbolize <file> [<address> ...] [<options>]",
    discussion: """
      Prints for each address the function, the inlined calls around it, innermost
      first, and their source lines, by the same sources as profile: symbols, DWARF
      and separate debug files. Addresses are hexadecimal, as nm prints them; without
      any, they are read from standard input, one on each line.

      Overhead: none on anything else; it only reads files.

      Example: what a crash report means
        swtrace symbolize /usr/bin/server 0x4f2a10 0x51c3e8
      """)

  package static let formats: [OutputFormat] = [.table, .json]

  @Argument(help: ArgumentHelp("A program, a library, or a debug file.", valueName: "file")) var file: String
  @Argument(help: ArgumentHelp("Addresses as the file counts them, hexadecimal.", valueName: "address")) var addresses: [String] = []
  @Flag(inversion: .prefixedNo, help: "Show calls that the compiler merged into their callers.") var inline = true
  @Flag(help: "Show Swift names with their types and what the compiler made of them.") var fullNames = false
  @Flag(help: "Ask the servers in DEBUGINFOD_URLS for debug files.") var debuginfod = false
  @Option(help: ArgumentHelp("Output format; the default is table.", valueName: "format")) var format: FormatOption<Symbolize>?

  package init() {}

  package func run() throws {
    var options = Symbolizer.Options()
    options.expandsInlined = inline
    options.hasFullNames = fullNames
    do { options.servers = debuginfod ? try DebugInformationServers() : nil } catch { throw ToolError("\(error)") }
    let symbolizer: FileSymbolizer
    do { symbolizer = try FileSymbolizer(FilePath(file), options) } catch { throw ToolError("\(error)") }
    var output = try Output(path: nil)
    func answer(_ text: some StringProtocol) throws {
      guard let address = UInt64(hexadecimal: text) else {
        throw ToolError("'\(escaped(String(text.prefix(80))))' is no hexadecimal address")
      }
      write(address, symbolizer.symbolize(address), into: &output.buffer)
      if output.buffer.count > 1 << 16 { try output.flush() }
    }
    for address in addresses { try answer(address) }
    if addresses.isEmpty { while let line = readLine() { if !line.isEmpty { try answer(line) } } }
    try output.commit()
  }

  private func write(_ address: UInt64, _ answer: Symbolized, into out: inout [UInt8]) {
    let frames = if case .frames(let frames) = answer { frames } else { [Frame]() }
    if format?.format == .json {
      out.append(contentsOf: "{\"type\":\"address\",\"address\":\(address),\"frames\":[".utf8)
      for (index, frame) in frames.enumerated() {
        if index > 0 { out.append(0x2c) }
        out.append(contentsOf: "{\"function\":".utf8)
        out.append(jsonString: Array(frame.function.utf8))
        if let mangled = frame.mangled {
          out.append(contentsOf: ",\"mangled\":".utf8)
          out.append(jsonString: Array(mangled.utf8))
        }
        if let file = frame.file, frame.line > 0 {
          out.append(contentsOf: ",\"file\":".utf8)
          out.append(jsonString: Array(file.utf8))
          out.append(contentsOf: ",\"line\":\(frame.line)".utf8)
        }
        out.append(contentsOf: ",\"inlined\":\(frame.isInlined)}".utf8)
      }
      out.append(contentsOf: "]".utf8)
      if case .unknown(let reason) = answer {
        out.append(contentsOf: ",\"unknown\":".utf8)
        out.append(jsonString: Array(reason.rawValue.utf8))
      }
      out.append(contentsOf: "}\n".utf8)
      return
    }
    out.append(contentsOf: "0x\(String(address, radix: 16)) ".utf8)
    if case .unknown(let reason) = answer { out.append(contentsOf: "[unknown] (\(reason.rawValue))\n".utf8) }
    for (index, frame) in frames.enumerated() {
      if index > 0 { out.append(contentsOf: "  inlined into ".utf8) }
      out.append(escaped: Text(frame.function))
      if let file = frame.file, frame.line > 0 {
        out.append(contentsOf: " at ".utf8)
        out.append(escaped: Text(file))
        out.append(contentsOf: ":\(frame.line)".utf8)
      }
      out.append(0x0a)
    }
  }
}

extension UInt64 {
  /// A number as nm prints it, or with `0x` before it.
  init?(hexadecimal text: some StringProtocol) {
    self.init(text.hasPrefix("0x") || text.hasPrefix("0X") ? String(text.dropFirst(2)) : String(text), radix: 16)
  }
}
