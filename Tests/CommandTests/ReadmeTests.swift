import Foundation
import TestSupport
import Testing

/// What the README promises, compared with what the program says of itself.
@Suite struct ReadmeTests {
  private let lines: [String]

  init() throws {
    let path = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/") + "/README.md"
    lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
  }

  /// The lines below a heading, up to the next.
  private func section(_ heading: String) -> [String] {
    guard let start = lines.firstIndex(of: heading) else { return [] }
    return Array(lines[(start + 1)...].prefix { !$0.hasPrefix("##") })
  }

  private func help(_ command: String) throws -> String { try Swtrace.run(["help", command]).outputText }

  /// One output and one measured overhead for each; the table has the tool's name in order, and the numbers of its help.
  @Test func everyToolIsDocumented() throws {
    let rows = lines.filter { $0.hasPrefix("| [") }
    #expect(rows.compactMap { $0.firstMatch(of: #/\[(\w+)\]\(#(\w+)\)/#).map { String($0.1) } }.sorted() == UsageTests.tools)
    for tool in UsageTests.tools {
      let section = section("### \(tool)")
      #expect(section.contains { $0.hasPrefix("# swtrace \(tool)") }, "\(tool)")
      #expect(section.contains { $0.contains(#/\d (ns|us)\b/#) && !$0.hasPrefix("#") }, "\(tool)")
      let row = try #require(rows.first { $0.hasPrefix("| [\(tool)](#\(tool)) |") })
      let cell = try #require(row.split(separator: "|").dropFirst(2).first)
      let numbers = cell.matches(of: #/[\d.]+ us/#).map { String($0.output) }
      let help = try help(tool)
      let overhead = try #require(help.components(separatedBy: "\n\n").first { $0.hasPrefix("Overhead: ") }).split { $0.isWhitespace }
      #expect(!numbers.isEmpty, "\(tool)")
      for number in numbers { #expect(overhead.joined(separator: " ").contains(" \(number)"), "\(tool): \(number)") }
    }
  }

  /// Of each command line, and what stands alone in a tool's section.
  @Test func everyOptionExists() throws {
    var checked = 0
    func check(_ text: Substring, _ command: String) throws {
      let known = Set(try help(command).split { $0.isWhitespace || $0 == "," || $0 == "/" }.map(String.init))
      for word in text.split(separator: " ").prefix(while: { $0 != "--" }) where word.hasPrefix("-") && word != "-" {
        if !known.contains(String(word)) { Issue.record("\(command) has no option \(word)") }
        checked += 1
      }
    }
    for line in lines {
      // In a block of code, or within a line.
      for match in line.matches(of: #/(?:^# |`(?:[^`]*\| )?)swtrace ([a-z][-a-z]*)([^`|]*)/#) { try check(match.2, String(match.1)) }
    }
    for tool in UsageTests.tools {
      for line in section("### \(tool)") { for match in line.matches(of: #/`(-[^`]+)`/#) { try check(match.1, tool) } }
    }
    #expect(checked > 15)
  }

  @Test func everyFormatIsDescribed() throws {
    let help = try Swtrace.run(["help", "convert"], environment: ["COLUMNS": "1000"]).outputText
    let formats = try #require(help.firstMatch(of: #/\(values: ([^)]+)\)/#)).1.components(separatedBy: ", ")
    let rows = section("## Files of profiles").filter { $0.hasPrefix("| ") }.compactMap { $0.split(separator: "|").first }
    #expect(Set(rows.dropFirst().flatMap { $0.split { $0 == "," || $0 == " " }.map(String.init) }) == Set(formats))
  }

  @Test func everyOtherCommandIsDescribed() {
    for command in UsageTests.others.dropFirst() { #expect(lines.contains { $0.contains("`swtrace \(command)") }, "\(command)") }
  }
}
