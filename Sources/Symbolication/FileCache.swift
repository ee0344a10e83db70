internal import DebugInfo
internal import Linux
internal import SystemPackage

/// The code that processes have mapped, each file once, whatever its paths.
struct FileCache {
  /// More files than this are not held open. To make room, the oldest is indexed; in a run without an end, where each stays open as long as
  /// somebody has mapped it, it is closed, and opened again by its path.
  let maximumOpen: Int
  var servers: DebugInformationServers?

  /// Whether what was indexed stays so for ever, or until `trim`.
  let isForever: Bool

  /// The processes that have mapped them keep them, and `loaded` does.
  private var objects: [FileIdentity: WeakObject<CodeObject>] = [:]
  /// By what a mapping says of its file, for those whose file cannot be opened any more.
  private var byNumbers: [MappedNumbers: Found] = [:]
  /// Oldest first.
  private var waiting: [WeakObject<CodeObject>] = []
  /// What was indexed, the latest last.
  private var loaded: [CodeObject] = []
  /// The number of files at which those that nobody has any more are left out.
  private var cleanAt = 1024
  private var indexed: [FileContent: WeakObject<ObjectSymbols>] = [:]
  private var roots: [RootDirectory.Identity: WeakObject<RootDirectory>] = [:]
  private lazy var vdso = Self.readVDSO()
  private let memory = CodeObject(name: "", .memory)
  private var missing: [MissingKey: CodeObject] = [:]

  init(maximumOpen: Int, isForever: Bool) {
    self.maximumOpen = maximumOpen
    self.isForever = isForever
  }

  private struct MappedNumbers: Hashable {
    var device: UInt64
    var inode: UInt64
    /// The same before and after the file was deleted.
    var name: String
    /// Where it is not certain that this is the file: processes choose what their paths lead to, and what those of one container have is
    /// not to be taken for what others have.
    var root: RootDirectory.Identity?

    init(_ mapping: Mapping, in root: RootDirectory? = nil) {
      (device, inode, name, self.root) = (mapping.device, mapping.inode, mapping.name, root?.identity)
    }
  }

  /// What was found for the numbers of a mapping.
  private struct Found {
    weak var object: CodeObject?
    /// Whether no other file can have these numbers while this one is held.
    var isOnly: Bool
  }

  private struct MissingKey: Hashable {
    var name: String
    var reason: Symbolized.Reason
  }

  /// The root of a process; processes of one container share it, and do not keep its mounts when they are gone.
  mutating func root(of process: ProcessID) -> RootDirectory? {
    guard let identity = RootDirectory.Identity(of: process) else { return nil }
    if identity == RootDirectory.Identity.own { return .own }
    if let known = roots[identity]?.object { return known }
    guard let root = try? RootDirectory(of: process) else { return nil }
    roots = roots.filter { $0.value.object != nil }
    roots[identity] = WeakObject(object: root)
    return root
  }

  /// What lies behind a mapping: what is mapped, not what has that path now.
  ///
  /// - Parameter root: what the process sees, where that is known; the process itself may be gone.
  mutating func object(behind mapping: Mapping, of process: ProcessID, root: @autoclosure () -> RootDirectory?) -> CodeObject {
    if mapping.path == VirtualObject.name { return vdso }
    guard mapping.inode != 0 else { return memory }
    let path = FilePath(mapping.path)
    let certain = byNumbers[MappedNumbers(mapping)]
    if let certain, certain.isOnly, let object = certain.object, object.isHeld { return object }
    if let file = MappedFile(mapping, of: process) { return add(file, mapping, path, root() ?? .own) }
    // Of a process that is gone, or without CAP_CHECKPOINT_RESTORE, there is only the path, where another file may be by now, and of the
    // program the way that the kernel has kept.
    let root = root() ?? .own
    do { return add(try MappedFile(mapping, inRoot: root), mapping, path, root) } catch {
      if let program = try? MappedFile(mapping, asProgramOf: process) { return add(program, mapping, path, root) }
      let known = certain?.object ?? byNumbers[MappedNumbers(mapping, in: root)]?.object
      return known ?? missing(mapping.name, error == .gone ? .fileGone : .fileChanged)
    }
  }

  /// The file behind a mapping, for reading it as it grows.
  ///
  /// - Parameter root: what the process sees.
  func open(_ mapping: Mapping, of process: ProcessID, root: RootDirectory?) -> SharedDescriptor? {
    if let file = MappedFile(mapping, of: process) { return SharedDescriptor(file.open()) }
    guard let file = try? MappedFile(mapping, inRoot: root ?? .own) else { return nil }
    return SharedDescriptor(file.open())
  }

  private mutating func missing(_ name: String, _ reason: Symbolized.Reason) -> CodeObject {
    let key = MissingKey(name: name, reason: reason)
    if let known = missing[key] { return known }
    if missing.count >= 4096 { missing = [:] }
    let object = CodeObject(name: name, .failed(reason))
    missing[key] = object
    return object
  }

  private mutating func add(
    _ file: consuming MappedFile, _ mapping: Mapping, _ path: FilePath, _ root: RootDirectory
  ) -> CodeObject {
    let (isCertain, isOnly) = (file.evidence != .place, file.evidence == .numbers)
    let (identity, numbers) = (file.identity, MappedNumbers(mapping, in: isCertain ? nil : root))
    let descriptor = file.open()
    let isOurs = root === RootDirectory.own
    if let known = objects[identity]?.object {
      if known.needsFile(isForever: isForever) {
        known.reopen(descriptor, path: path, root: root, isOurs: isOurs)
        loaded.removeAll { $0 === known }
        hold(known)
      }
      return known
    }
    let object: CodeObject
    // By swtrace's own way, if it is there too: then no container has to be kept for it.
    if !isOurs, let own = try? RootDirectory.own.open(path), File.identity(of: own) == identity {
      object = CodeObject(own, identity, name: mapping.name, path: path, root: .own, isOurs: false)
    } else {
      object = CodeObject(descriptor, identity, name: mapping.name, path: path, root: root, isOurs: isOurs)
    }
    if objects.count >= cleanAt {
      objects = objects.filter { $0.value.object != nil }
      byNumbers = byNumbers.filter { $0.value.object != nil }
      cleanAt = max(1024, 2 * objects.count)
    }
    objects[identity] = WeakObject(object: object)
    // Of a process that has just ended it may not be known what it saw.
    if isCertain || root.identity != nil { byNumbers[numbers] = Found(object: object, isOnly: isOnly) }
    hold(object)
    return object
  }

  /// Notes that a file is open that has not been indexed.
  private mutating func hold(_ object: CodeObject) {
    waiting.removeAll { $0.object === object }
    waiting.append(WeakObject(object: object))
    makeRoom(for: object)
  }

  private mutating func makeRoom(for newest: CodeObject) {
    guard openCount > maximumOpen else { return }
    waiting.removeAll { $0.object == nil }
    while openCount > maximumOpen {
      if isForever {
        guard let oldest = waiting.first?.object else { return }
        load(oldest)
      } else if let place = waiting.firstIndex(where: { $0.object !== newest }) {
        waiting.remove(at: place).object?.close()
      } else if let place = loaded.firstIndex(where: { $0 !== newest }) {
        loaded.remove(at: place).close()
      } else {
        return
      }
    }
  }

  /// Files that are held open, or were until a moment ago.
  var openCount: Int { waiting.count + (isForever ? 0 : loaded.count) }

  /// Indexes an object, which is kept from now on.
  mutating func load(_ object: CodeObject) {
    object.load(sharing: &indexed, servers: servers, isForever: isForever)
    object.usedAt = Clock.monotonic
    loaded.append(object)
    waiting.removeAll { $0.object == nil || $0.object === object }
    if !isForever { makeRoom(for: object) }
  }

  /// Gives up what no process has mapped any more, a while after it was used: it keeps its container's mounts. A program that is started
  /// again and again is indexed once. What others have mapped is read again, where it was read through a container that has ended.
  mutating func dropUnused(now: UInt64 = Clock.monotonic) {
    loaded = loaded.indices.compactMap { index in
      let isUnused = isKnownUniquelyReferenced(&loaded[index]) && now - min(loaded[index].usedAt, now) > Self.lifetime
      return isUnused ? nil : loaded[index]
    }
    for object in loaded where object.isReadElsewhere {
      object.unload()
      loaded.removeAll { $0 === object }
      hold(object)
    }
    indexed = indexed.filter { $0.value.object != nil }
  }

  /// In nanoseconds.
  static let lifetime: UInt64 = 300_000_000_000

  /// Notes that something is looked up in an object that has been indexed: what was not used for the longest time leaves first.
  mutating func use(_ object: CodeObject) {
    guard !isForever else { return }
    object.usedAt = Clock.monotonic
    guard loaded.last !== object, let place = loaded.lastIndex(where: { $0 === object }) else { return }
    loaded.remove(at: place)
    loaded.append(object)
  }

  /// Gives up indexes, those first that were not used for the longest time, until the others take so many bytes at most. Objects stay
  /// as long as a process has mapped them.
  mutating func trim(to limit: Int) {
    var used = 0
    var kept: [CodeObject] = []
    // Equal files share one index.
    var counted: Set<ObjectIdentifier> = []
    while let object = loaded.popLast() {
      guard case .ready(let symbols) = object.state else { continue }
      let size = counted.contains(ObjectIdentifier(symbols)) ? 0 : symbols.memoryUse
      if used + size <= limit {
        used += size
        counted.insert(ObjectIdentifier(symbols))
        kept.append(object)
      } else {
        object.unload()
        waiting.append(WeakObject(object: object))
      }
    }
    loaded = kept.reversed()
    indexed = indexed.filter { $0.value.object != nil }
  }

  /// The image is the same in every 64-bit process, so ours serves for all.
  private static func readVDSO() -> CodeObject {
    guard let image = VirtualObject.image(), let file = try? ELFFile(image: image, name: VirtualObject.name),
      let symbols = try? ObjectSymbols(file, searching: DebugFileSearch(roots: []))
    else { return CodeObject(name: VirtualObject.name, .failed(.fileGone)) }
    return CodeObject(name: VirtualObject.name, .ready(symbols))
  }
}
