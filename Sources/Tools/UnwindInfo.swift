package import ArgumentParser
internal import DebugInfo
internal import Formats
internal import Linux
internal import Profiles
internal import Symbolication
internal import SystemPackage

/// Shows how stacks are unwound through a file.
package struct UnwindInfo: ParsableCommand, FormattedOutput {
  package static let configuration = CommandConfiguration(
    abstract: "Show how stacks are unwound through a program or library.", usage: "swtrace unwind-info <file> [<options>]",
    discussion: """
      Prints the rows by which user stacks are walked: from each address on, where
      the frame of the function's caller ends (the CFA), and where the caller's rbp
      and r14 are. The return address is always 8 bytes below the CFA. Rows come
      from .eh_frame and .debug_frame, and in Swift, which leaves some functions
      out of these, from the instructions.

        rsp+16 rbp=c-16    the CFA is rsp+16, the caller's rbp is 16 bytes below it
        [rbp-8]            the CFA stands in memory, 8 bytes below rbp
        plt+11             of the linker's stubs for calls into other libraries
        signal             the kernel's frame of a signal handler
        stop               nobody calls this function
        gap                nothing is known here: rbp is tried as a frame pointer
        ... guessed        read from the instructions
        ... async          of an async function: its context is in r14, or where
                           r14= says

      Overhead: none on anything else; it only reads files.

      Example: what holds at one address
        swtrace unwind-info /usr/bin/server --pc 0x4f2a10
      """)

  package static let formats: [OutputFormat] = [.table, .json]

  @Argument(help: ArgumentHelp("A program or library for x86-64.", valueName: "file")) var file: String
  @Option(name: [.customLong("pc")], help: ArgumentHelp("Only what holds at this address, hexadecimal.", valueName: "address"))
  var addresses: [String] = []
  @Option(help: ArgumentHelp("Output format; the default is table.", valueName: "format")) var format: FormatOption<UnwindInfo>?

  package init() {}

  package func run() throws {
    let wanted = try addresses.map { text in
      guard let address = UInt64(hexadecimal: text) else {
        throw ToolError("'\(escaped(String(text.prefix(80))))' is no hexadecimal address; give one as nm prints it, such as 4f2a10")
      }
      return ELFAddress(address)
    }
    let table: UnwindTable
    let symbols: ObjectSymbols
    do {
      symbols = try ObjectSymbols(ELFFile(path: FilePath(file)), searching: DebugFileSearch(path: File.absolute(FilePath(file))))
      table = try UnwindTable(symbols.file, debug: symbols.debugFile)
    } catch let failure as UnwindTable.Failure {
      throw ToolError("\(readableName(file.utf8)) \(failure)")
    } catch { throw ToolError("\(error)") }
    if let outside = wanted.first(where: { !table.code.contains($0.rawValue) }) {
      throw ToolError(
        "0x\(String(outside.rawValue, radix: 16)) is not in the code of \(readableName(file.utf8)), "
          + "0x\(String(table.code.lowerBound, radix: 16)) to 0x\(String(table.code.upperBound, radix: 16)); "
          + "take an address as the file counts them, not as a process does")
    }
    var output = try Output(path: nil)
    if format?.format != .json { output.buffer.append(contentsOf: "ADDRESS            RULE                             FUNCTION\n".utf8) }
    for address in wanted { write(address, table.rule(at: address), symbols, into: &output.buffer) }
    if wanted.isEmpty {
      for index in 0..<table.count {
        let row = table[index]
        write(row.start, row.rule, symbols, into: &output.buffer)
        if output.buffer.count > 1 << 16 { try output.flush() }
      }
      if format?.format == .json {
        output.buffer.append(
          contentsOf: "{\"type\":\"summary\",\"rows\":\(table.count),\"rules\":\(table.rules.count),\"functions\":\(table.functions)}\n"
            .utf8)
      } else {
        complain("swtrace unwind-info: \(table.count) rows of \(table.rules.count) kinds; \(table.functions) functions have records")
      }
    }
    try output.commit()
  }

  private func write(_ address: ELFAddress, _ rule: UnwindRule, _ symbols: ObjectSymbols, into out: inout [UInt8]) {
    let mangled = symbols.function(at: address)?.name
    let function = mangled.map { Demangler.demangle($0) ?? $0 }
    if format?.format == .json {
      out.append(contentsOf: "{\"type\":\"row\",\"address\":\(address.rawValue),\"rule\":\"\(rule.text)\"".utf8)
      if let function, let mangled {
        out.append(contentsOf: ",\"function\":".utf8)
        out.append(jsonString: Array(function.utf8))
        out.append(contentsOf: ",\"mangled\":".utf8)
        out.append(jsonString: Array(mangled.utf8))
      }
      out.append(contentsOf: "}\n".utf8)
      return
    }
    let place = "0x\(String(address.rawValue, radix: 16))"
    out.append(contentsOf: place.padded(to: 18).utf8)
    out.append(0x20)
    out.append(contentsOf: (function == nil ? rule.text : rule.text.padded(to: 32)).utf8)
    if let function {
      out.append(0x20)
      out.append(escaped: Text(function))
    }
    out.append(0x0a)
  }
}
