package import DebugInfo
package import Linux
internal import Profiles
internal import Synchronization
package import SystemPackage

/// What lies behind mappings of code: a file, the vDSO, or memory that the process filled itself. Shared by all processes that map it.
package final class CodeObject {
  enum State {
    /// Held open, so that neither the end of the process nor the deletion of the file matters.
    case pending
    case ready(ObjectSymbols)
    /// Memory without a file.
    case memory
    case failed(Symbolized.Reason)
  }

  /// Of no other one, not even of one that is gone.
  package let number = CodeObject.count.wrappingAdd(1, ordering: .relaxed).newValue
  private static let count = Atomic<UInt64>(0)

  /// The last component of its path, or what stands for one: `[vdso]`.
  package let name: String
  /// As the process saw it; empty for what is no file.
  package let path: String
  private(set) var state: State
  private var descriptor: Descriptor?
  /// When something was looked up in it last, on the monotonic clock.
  var usedAt: UInt64 = 0
  /// Nil for what is no file.
  package let identity: FileIdentity?
  package var isFile: Bool { identity != nil }
  private var search = DebugFileSearch()
  private var isOurs = true
  /// By the address as the file counts it; equal ones of all processes are looked up once.
  private var answers: [UInt64: Symbolized] = [:]
  /// Readable names by the keys of the compiler's names and of the linker's.
  private var readable: [NameKey: String] = [:]

  private enum NameKey: Hashable {
    case ofCall(UInt64)
    case ofSymbol(UInt32)
  }

  /// A file, which is held open.
  ///
  /// - Parameters:
  ///   - root: by which it was opened, and which others hold.
  ///   - isOurs: whether a process was seen with it that has swtrace's own root.
  init(
    _ descriptor: consuming Descriptor, _ identity: FileIdentity, name: String, path: FilePath, root: RootDirectory, isOurs: Bool
  ) {
    self.descriptor = consume descriptor
    self.identity = identity
    self.name = name
    self.path = path.string
    state = .pending
    self.isOurs = isOurs
    search = Self.search(path, root)
  }

  private static func search(_ path: FilePath, _ root: RootDirectory) -> DebugFileSearch {
    DebugFileSearch(path: path, roots: root === RootDirectory.own ? [.own] : [root, .own])
  }

  /// Something that is no file, or a file that cannot be had.
  init(name: String, _ state: State) {
    self.name = name
    self.state = state
    path = ""
    identity = nil
  }

  /// Builds the index, or takes that of an equal file; a failure is kept too, and not tried again at every address.
  ///
  /// - Parameter isForever: whether `unload` will not be called.
  func load(sharing known: inout [FileContent: WeakObject<ObjectSymbols>], servers: DebugInformationServers?, isForever: Bool) {
    guard case .pending = state, let identity else { return }
    // What cannot be read once is not read again.
    defer { if case .failed = state { _ = self.descriptor.take() } }
    search.servers = servers
    if !isForever { search.copyLimit = Self.copyLimitOfAnEndlessRun }
    defer { if isForever { search = DebugFileSearch() } }
    guard let descriptor = isForever ? descriptor.take() : open() else {
      state = .failed(.fileGone)
      return
    }
    if !isForever, self.descriptor == nil { self.descriptor = descriptor.duplicate() }
    do {
      let file = try ELFFile(descriptor, name: name, isOurs: isOurs)
      guard file.identity == identity else {
        state = .failed(.fileChanged)
        return
      }
      let content = file.buildID.map { FileContent(buildID: $0, owner: identity.owner, size: identity.size, isOurs: isOurs) }
      if let content, let equal = known[content]?.object, !equal.isRootGone {
        state = .ready(equal)
        return
      }
      let symbols = try ObjectSymbols(file, searching: search)
      state = .ready(symbols)
      if let content, !symbols.isEmpty { known[content] = WeakObject(object: symbols) }
    } catch {
      state = .failed(Symbolized.Reason(error))
    }
  }

  /// Gives up all that is kept to answer sooner. What is asked for afterwards is read again.
  func release() {
    (answers, readable) = ([:], [:])
    if case .ready(let symbols) = state { symbols.release() }
  }

  /// In bytes. What an agent reads for windows of ten seconds is read again and again.
  private static let copyLimitOfAnEndlessRun = 4 << 20

  /// Gives up the index as well, until something is asked for again; what was read of other files is given up.
  func unload() {
    (answers, readable) = ([:], [:])
    if isFile, case .ready = state { state = .pending }
  }

  /// Whether it has no file that can be read later, or keeps that of a container that has ended.
  func needsFile(isForever: Bool) -> Bool {
    switch state {
    case .pending: isRootGone || descriptor == nil
    case .ready: !isForever && (isRootGone || descriptor == nil)
    case .memory, .failed: false
    }
  }

  /// Whether the file is open, as it was, and by a way that may stay.
  var isHeld: Bool {
    switch descriptor {
    case .some(let file): !isRootGone && File.identity(of: file) == identity
    case .none: false
    }
  }

  /// Whether the file was opened through a container that has ended.
  var isRootGone: Bool { search.isRootGone }

  /// Whether its index keeps the mounts of a container that has ended, and the object itself does not.
  var isReadElsewhere: Bool {
    guard case .ready(let symbols) = state else { return false }
    return symbols.isRootGone && !isRootGone
  }

  /// Gives up the file too. It is opened again by its path, where that still leads to it.
  func close() {
    unload()
    _ = descriptor.take()
  }

  /// Takes another way to the same file, and gives up the one that it had.
  func reopen(_ descriptor: consuming Descriptor, path: FilePath, root: RootDirectory, isOurs: Bool) {
    unload()
    self.descriptor = consume descriptor
    search = Self.search(path, root)
    self.isOurs = isOurs
  }

  /// The file, for somebody else; nil where it cannot be found any more.
  private func open() -> Descriptor? {
    if descriptor != nil { return descriptor?.duplicate() }
    guard let path = search.path, let found = try? search.root?.open(path), File.identity(of: found) == identity else { return nil }
    return found
  }

  /// Gives up what was made of the index, and the file's pages; the index stays.
  func settle() {
    (answers, readable) = ([:], [:])
    if case .ready(let symbols) = state { symbols.settle() }
  }

  /// Where its code can be read.
  package enum Source {
    /// Open already, for this thread only.
    case file(ELFFile)
    /// For any thread.
    case unopened(UnopenedFile)
  }

  /// The file, or the vDSO's image; nil for memory.
  ///
  /// - Throws: why it cannot be read.
  package func source() throws(Symbolized.Reason) -> Source? {
    switch state {
    case .ready(let symbols): return .file(symbols.file)
    case .pending:
      guard let copy = open() else { throw .fileGone }
      return .unopened(UnopenedFile(copy, name: name, isOurs: isOurs))
    case .memory: return nil
    case .failed(let reason): throw reason
    }
  }

  /// The frames at an offset of a file that has been loaded.
  func frames(at offset: FileOffset, in symbols: ObjectSymbols, _ options: Symbolizer.Options) -> Symbolized {
    guard let place = symbols.file.address(at: offset) else { return .unknown(.outsideSymbols) }
    return keptFrames(at: place, in: symbols, options)
  }

  /// The frames at an address as the file counts it, which are kept for the next time.
  func keptFrames(at place: ELFAddress, in symbols: ObjectSymbols, _ options: Symbolizer.Options) -> Symbolized {
    if let known = answers[place.rawValue] { return known }
    let answer = frames(at: place, in: symbols, options)
    answers[place.rawValue] = answer
    return answer
  }

  /// The frames at an address as the file counts it.
  func frames(at place: ELFAddress, in symbols: ObjectSymbols, _ options: Symbolizer.Options) -> Symbolized {
    let calls = symbols.calls(at: place)
    // The linker's name for the function itself, the compiler's for what was merged into it: both as people know them.
    let symbol = symbols.function(at: place)
    guard var function = symbol?.name ?? calls.last?.name else {
      return .unknown(symbols.isEmpty ? .noSymbols : .outsideSymbols)
    }
    // Each function of the vDSO has a second, weak name, which is the one that programs use.
    if name == VirtualObject.name, function.hasPrefix("__vdso_") { function.removeFirst("__vdso_".count) }
    var frames: [Frame] = []
    frames.reserveCapacity(calls.count)
    for call in calls where call.isInlined && options.expandsInlined {
      frames.append(frame(call.name ?? "[inlined]", .ofCall(call.nameKey), call, isInlined: true, options))
    }
    let key = symbol.map { NameKey.ofSymbol($0.key) } ?? .ofCall(calls.last?.nameKey ?? 0)
    frames.append(frame(function, key, calls.last, isInlined: false, options))
    return .frames(frames)
  }

  private func frame(
    _ mangled: String, _ key: NameKey, _ call: SourceCall?, isInlined: Bool, _ options: Symbolizer.Options
  ) -> Frame {
    let function: String
    if let known = readable[key] {
      function = known
    } else {
      function = Demangler.demangle(mangled, isFull: options.hasFullNames) ?? mangled
      readable[key] = function
    }
    return Frame(
      function: function, module: name, isInlined: isInlined, file: call?.file, line: call?.line ?? 0,
      mangled: function == mangled ? nil : mangled)
  }
}

struct WeakObject<Object: AnyObject> {
  weak var object: Object?
}

/// What two files have in common that one index serves.
///
/// The owner counts, because anybody can give a file the build ID of the system's libc; so does whether it is in a container.
struct FileContent: Hashable {
  var buildID: BuildID
  var owner: UInt32
  var size: UInt64
  var isOurs: Bool
}

extension Symbolized.Reason {
  init(_ error: ELFError) {
    self =
      switch error.cause {
      case .file: .fileGone
      case .notRegular, .notELF: .noSymbols
      case .tooLarge, .tooMany, .malformed: .damagedFile
      }
  }
}

/// Names addresses of one file, as `nm` and the linker count them.
package struct FileSymbolizer {
  private let object: CodeObject
  private let symbols: ObjectSymbols
  private let options: Symbolizer.Options

  private let keepsAnswers: Bool

  /// - Parameter keepsAnswers: whether the same addresses will be asked for again; each then takes some hundred bytes.
  /// - Throws: `ELFError` for what is no ELF file, or a damaged one.
  package init(_ path: FilePath, _ options: Symbolizer.Options = .init(), keepsAnswers: Bool = false) throws(ELFError) {
    symbols = try ObjectSymbols(ELFFile(path: path), searching: DebugFileSearch(path: File.absolute(path), servers: options.servers))
    object = CodeObject(name: path.lastComponent?.string ?? path.string, .ready(symbols))
    self.options = options
    self.keepsAnswers = keepsAnswers
  }

  /// Where the names of functions come from, best first.
  package var origins: [String] { symbols.origins }

  /// The frames at an address as the file counts it.
  package func symbolize(_ address: UInt64) -> Symbolized {
    let place = ELFAddress(address)
    return keepsAnswers ? object.keptFrames(at: place, in: symbols, options) : object.frames(at: place, in: symbols, options)
  }
}

/// A file that is held, for whichever thread reads it.
package final class UnopenedFile: Sendable {
  private let descriptor: Descriptor
  private let name: String
  private let isOurs: Bool

  init(_ descriptor: consuming Descriptor, name: String, isOurs: Bool) {
    self.descriptor = descriptor
    self.name = name
    self.isOurs = isOurs
  }

  /// - Throws: why it cannot be read.
  package func open() throws(Symbolized.Reason) -> ELFFile {
    guard let copy = descriptor.duplicate() else { throw .fileGone }
    do { return try ELFFile(copy, name: name, isOurs: isOurs) } catch { throw Symbolized.Reason(error) }
  }
}
