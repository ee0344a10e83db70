import Glibc
import Linux
import Profiles
import SystemPackage
import TestSupport
import Testing

@testable import Symbolication

/// Files that are not where they were when processes mapped them, with what the agent keeps of root's power and with all of it.
@Suite(.requiresBPF, .serialized) struct MappedFileTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Those of `Needs.all` that have to do with files. The calling thread is root's: what it has besides is its user.
  private static let kept: [Privileges.Capability] = [.bpf, .perfmon, .sysPtrace, .syslog, .dacReadSearch]

  /// Prints the address of a function of its own, and those that the libraries that it is given tell. Then it waits for its input.
  private static let source = """
    #include <dlfcn.h>
    #include <stdio.h>
    #include <unistd.h>
    __attribute__((noinline)) int FUNCTION(int x) { return x * 3; }
    int main(int count, char **arguments) {
      char byte;
      printf("%p", (void *)FUNCTION);
      for (int i = 1; i < count; i++) {
        void *library = dlopen(arguments[i], RTLD_NOW);
        void **told = library ? dlsym(library, "told") : 0;
        printf(" %p", told ? *told : 0);
      }
      printf("\\n");
      fflush(stdout);
      return FUNCTION(0) + read(0, &byte, 1) > 100;
    }
    """

  private func program(_ function: String) throws -> String {
    try compile(Self.source, in: folder, name: function, flags: ["-O1", "-DFUNCTION=\(function)", "-ldl"])
  }

  private func library(_ function: String) throws -> String {
    let source = "int \(function)(int x) { return x * 5; }\nvoid *told = (void *)\(function);\n"
    return try compile(source, in: folder, name: "\(function).so", flags: ["-O1", "-shared", "-fPIC"])
  }

  private struct Program {
    var running: Running
    var addresses: [UInt64]
    var id: ProcessID { ProcessID(UInt32(running.pid)) }
  }

  private func start(_ arguments: [String]) throws -> Program {
    let running = try Running(arguments, input: true)
    let line = try running.wait(for: "0x")
    let program = Program(running: running, addresses: line.split(separator: " ").compactMap { UInt64($0.dropFirst(2), radix: 16) })
    try #require(program.addresses.allSatisfy { $0 != 0 } && !program.addresses.isEmpty, "\(line)")
    return program
  }

  /// Starts what a line of the shell execs, in a mount namespace of its own, in which the folder is `$0`.
  private func start(inNamespace script: String) throws -> Program { try start(["unshare", "--mount", "sh", "-ec", script, folder.path]) }

  /// What the functions of a process are called, by who has these capabilities only.
  private func names(
    _ program: Program, _ capabilities: [Privileges.Capability], _ symbolizer: inout Symbolizer
  ) -> [String] {
    Privileges.lowered(to: capabilities) {
      symbolizer.processes.learn(program.id)
      return program.addresses.map { address in
        switch symbolizer.lookUp(VirtualAddress(address), .programCounter, in: program.id) {
        case .frames(let frames): frames.map(\.function).joined(separator: "<")
        case .unknown(let reason): "? \(reason)"
        }
      }
    }
  }

  private func names(_ program: Program, _ capabilities: [Privileges.Capability] = Self.kept) -> [String] {
    var symbolizer = Symbolizer(isEndless: true)
    return names(program, capabilities, &symbolizer)
  }

  /// Of another user, so that root's own files and processes are not all that is looked at.
  private let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]

  @Test func aDeletedProgramKeepsItsNames() throws {
    try #require(chmod(folder.path, 0o755) == 0)
    let path = try program("deleted")
    let program = try start(asNobody + [path])
    defer { _ = program.running.finishAfterInput() }
    #expect(unlink(path) == 0)
    #expect(names(program) == ["deleted"])
  }

  /// Another program has its path, or the name that the kernel gives to what is deleted.
  @Test(arguments: ["", " (deleted)"]) func aReplacedProgramKeepsItsNames(_ suffix: String) throws {
    let (path, other) = (try program("replaced"), try program("another"))
    let program = try start([path])
    defer { _ = program.running.finishAfterInput() }
    try mustRun(["mv", other, path])
    if !suffix.isEmpty { try mustRun(["mv", path, path + suffix]) }
    #expect(names(program) == ["replaced"])
    #expect(names(program, Self.kept + [.checkpointRestore]) == ["replaced"])
  }

  /// A library that is gone is said to be so, and is named with the capability that the kernel wants for it.
  @Test(arguments: ["", " (deleted)"]) func aDeletedLibraryTakesOneCapabilityMore(_ suffix: String) throws {
    let (path, other) = (try library("inLibrary"), try library("inAnother"))
    let program = try start([try program("user"), path])
    defer { _ = program.running.finishAfterInput() }
    #expect(names(program) == ["user", "inLibrary"])
    if suffix.isEmpty { #expect(unlink(path) == 0) } else { try mustRun(["mv", other, path + suffix]) }
    if !suffix.isEmpty { #expect(unlink(path) == 0) }
    #expect(names(program) == ["user", suffix.isEmpty ? "? fileGone" : "? fileChanged"])
    #expect(names(program, Self.kept + [.checkpointRestore]) == ["user", "inLibrary"])
  }

  /// What is held open is known by its numbers, also for processes that are seen later.
  @Test func aLibraryThatIsHeldKeepsItsNames() throws {
    let path = try library("held")
    let user = try program("user")
    let (first, second) = (try start([user, path]), try start([user, path]))
    defer { for program in [first, second] { _ = program.running.finishAfterInput() } }
    var symbolizer = Symbolizer(isEndless: true)
    #expect(names(first, Self.kept, &symbolizer) == ["user", "held"])
    #expect(unlink(path) == 0)
    #expect(names(second, Self.kept, &symbolizer) == ["user", "held"])
    #expect(names(second) == ["user", "? fileGone"])
  }

  /// Numbers of files are chosen by who makes a file system: the first file of each tmpfs has the same.
  private func inode(_ program: Program, _ path: String) throws -> UInt64 {
    try #require(UInt64(try mustRun(["stat", "-c", "%i", "/proc/\(program.id)/root\(path)"]).filter(\.isNumber)))
  }

  @Test func theProgramIsNotTakenForALibraryOfItsNumber() throws {
    _ = (try program("user"), try library("inLibrary"))
    let program = try start(
      inNamespace: """
        cd "$0"; mkdir one two; mount -t tmpfs none one; mount -t tmpfs none two; cp user one/x; cp inLibrary.so two/x; exec one/x two/x
        """)
    defer { _ = program.running.finishAfterInput() }
    #expect(try inode(program, "\(folder.path)/one/x") == inode(program, "\(folder.path)/two/x"))
    #expect(names(program) == ["user", "inLibrary"])
    try mustRun(["rm", "/proc/\(program.id)/root\(folder.path)/one/x", "/proc/\(program.id)/root\(folder.path)/two/x"])
    #expect(names(program) == ["user", "? fileGone"])
    #expect(names(program, Self.kept + [.checkpointRestore]) == ["user", "inLibrary"])
  }

  /// Who hides a library behind another file of its path and number is not believed, and does not have others believe it.
  @Test func anotherFileOfThePathAndNumberIsNotTaken() throws {
    _ = (try program("user"), try library("inLibrary"), try library("inAnother"))
    let hider = try start(
      inNamespace: "cd \"$0\"; mkdir two; mount -t tmpfs none two; cp inLibrary.so two/x; exec ./user \"$0/two/x\"")
    defer { _ = hider.running.finishAfterInput() }
    let inside = ["nsenter", "--target=\(hider.id)", "--mount"]
    let other = try start(inside + ["unshare", "--mount", folder.file("user"), "\(folder.path)/two/x"])
    defer { _ = other.running.finishAfterInput() }
    let mapped = try inode(hider, "\(folder.path)/two/x")
    try mustRun(inside + ["sh", "-ec", "mount -t tmpfs none \(folder.path)/two; cp \(folder.path)/inAnother.so \(folder.path)/two/x"])
    #expect(try inode(hider, "\(folder.path)/two/x") == mapped)
    var symbolizer = Symbolizer(isEndless: true)
    #expect(names(hider, Self.kept, &symbolizer) == ["user", "? fileChanged"])
    #expect(names(other, Self.kept, &symbolizer) == ["user", "inLibrary"])
    // The file itself is known by now.
    #expect(names(hider, Self.kept + [.checkpointRestore]) == ["user", "inLibrary"])
  }

  /// Overlays have two numbers for a file, and a third where it was copied up.
  @Test(arguments: ["", "touch merged/library.so;"]) func containersHaveTheirNames(_ change: String) throws {
    _ = (try program("user"), try library("inLibrary"))
    let script = """
      cd "$0"; mkdir lower upper work merged
      mv inLibrary.so lower/library.so; mv user lower/user
      mount -t tmpfs none upper; mkdir upper/data upper/work
      mount -t overlay overlay -o lowerdir=lower,upperdir=upper/data,workdir=upper/work merged
      \(change) exec merged/user merged/library.so
      """
    let program = try start(inNamespace: script)
    defer { _ = program.running.finishAfterInput() }
    #expect(names(program) == ["user", "inLibrary"])
    try mustRun(["rm", "/proc/\(program.id)/root\(folder.path)/merged/user"])
    #expect(names(program) == ["user", "inLibrary"])
  }

  /// The list that a compiler keeps of its code is read by its path.
  @Test func codeOfCompilersHasItsNames() throws {
    let source = """
      #include <fcntl.h>
      #include <stdint.h>
      #include <stdio.h>
      #include <string.h>
      #include <sys/mman.h>
      #include <unistd.h>
      int main(int count, char **arguments) {
        char path[256], byte;
        unsigned char *code = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *code = 0xc3;
        snprintf(path, sizeof(path), "%s/jit-%d.dump", arguments[1], (int)getpid());
        int file = open(path, O_CREAT | O_RDWR, 0600);
        struct { uint32_t magic, version, size, machine, pad, pid; uint64_t time, flags; } head = { 0x4a695444, 1, 40, 62, 0, getpid(), 0, 0 };
        struct {
          uint32_t id, size; uint64_t time; uint32_t pid, tid; uint64_t address, code, length, index; char name[8]; unsigned char bytes[1];
        } __attribute__((packed)) load = { 0, 56 + 8 + 1, 0, getpid(), getpid(), (uintptr_t)code, (uintptr_t)code, 1, 0, "jitted", { 0xc3 } };
        if (write(file, &head, sizeof(head)) < 0 || write(file, &load, sizeof(load)) < 0) return 1;
        if (mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0) == MAP_FAILED) return 1;
        printf("%p\\n", (void *)code);
        fflush(stdout);
        return read(0, &byte, 1);
      }
      """
    let program = try start([try compile(source, in: folder), folder.path])
    defer { _ = program.running.finishAfterInput() }
    #expect(names(program) == ["jitted"])
  }
}
