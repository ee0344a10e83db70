import DebugInfo
import SystemPackage
import TestSupport

/// The programs under test, each built once a run.
enum Fixture {
  /// Functions of every kind of linkage; prints the addresses of some, then waits for the end of its input.
  static let source = """
    #include <stdio.h>
    #include <unistd.h>
    __attribute__((noinline)) static int hidden_function(int n) { return n * 3 + getpid(); }
    __attribute__((noinline)) int exported_function(int n) { return hidden_function(n) + 1; }
    __attribute__((weak, noinline)) int weak_function(int n) { return n - 2; }
    int main(void) {
      char byte;
      printf("%p %p %p\\n", (void *)main, (void *)hidden_function, (void *)exported_function);
      fflush(stdout);
      while (read(0, &byte, 1) == 1) {}
      return exported_function(weak_function(1)) == 12345;
    }
    """

  /// Compiles the C program; more arguments go to the compiler.
  static func build(in folder: TemporaryFolder, _ name: String = "program", _ arguments: [String] = []) throws -> String {
    let input = try folder.file("\(name).c", source)
    try mustRun(["clang", "-O1", "-Wl,--build-id=sha1", "-o", folder.file(name), input] + arguments)
    return folder.file(name)
  }

  /// Builds a shared library out of assembly text.
  static func assemble(in folder: TemporaryFolder, _ name: String, _ text: String, _ arguments: [String] = []) throws -> String {
    let input = try folder.file("\(name).s", text)
    try mustRun(["clang", "-shared", "-nostdlib", "-Wl,--build-id=sha1", "-o", folder.file(name), input] + arguments)
    return folder.file(name)
  }

  /// Every defined function with a size that binutils finds, as address, size and name without its version.
  static func oracle(_ path: String, _ arguments: [String] = []) throws -> [(address: UInt64, size: UInt64, name: String)] {
    try mustRun(["nm", "--defined-only", "-S", "--no-demangle"] + arguments + [path]).split(separator: "\n").compactMap { line in
      let fields = line.split(separator: " ")
      guard fields.count == 4, ["t", "T", "w", "W", "i"].contains(fields[2]) else { return nil }
      guard let address = UInt64(fields[0], radix: 16), let size = UInt64(fields[1], radix: 16), size > 0 else { return nil }
      return (address, size, String(fields[3].prefix { $0 != "@" }))
    }
  }

  static func table(_ path: String, _ search: DebugFileSearch = DebugFileSearch(folders: [])) throws -> ObjectSymbols {
    try ObjectSymbols(ELFFile(path: FilePath(path)), searching: search)
  }

  /// The name at an address, for comparison.
  static func name(_ table: ObjectSymbols, _ address: UInt64) -> String? {
    table.function(at: ELFAddress(address))?.name
  }
}
