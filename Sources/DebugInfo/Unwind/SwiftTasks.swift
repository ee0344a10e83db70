/// Where in a thread's memory the Swift runtime keeps the task that the thread runs, and how large a task is.
///
/// Read from the code of `swift_task_getCurrent` (stdlib/public/Concurrency/Task.cpp of Swift), which does nothing but return it: the
/// variable is local to threads, and no symbol says where it is.
package struct SwiftTasks: Hashable, Sendable {
  package enum Place: Hashable, Sendable {
    /// So many bytes behind the thread pointer: in programs with a runtime of their own.
    case threadPointer(Int64)
    /// At an offset in the block of memory that a module has in each thread. The module's number and the block's offset in its part are
    /// in two words at this address of the file (System V ABI for thread-local storage, 4.4.4).
    case block(descriptor: ELFAddress, offset: Int64)
  }

  package var place: Place
  /// Of the object in bytes: behind it a child has the address of its parent.
  package var size: UInt32

  /// That of Swift 6.3, for programs that leave out the variable which says it. Where it is another, no parent is found: what is there
  /// would have to be an object of a task's class.
  package static let usualSize: UInt32 = 208
  /// What the size may be, if the file is to be believed.
  private static let sizes: ClosedRange<UInt64> = 128...1024
}

extension SwiftTasks {
  /// - Parameters:
  ///   - code: the bytes of `swift_task_getCurrent`.
  ///   - start: its address.
  ///   - size: as `_swift_concurrency_debug_asyncTaskSize` says it.
  init?(_ code: Bytes, at start: UInt64, size: UInt64?) {
    guard let place = Self.place(code, start) else { return nil }
    self.place = place
    self.size = size.flatMap { Self.sizes.contains($0) && $0 % 16 == 0 ? UInt32($0) : nil } ?? Self.usualSize
  }

  /// No compiler needs more of it.
  private static let maximumCode = 64

  private static func place(_ code: Bytes, _ start: UInt64) -> Place? {
    var cursor = code.cursor()
    var descriptor: UInt64?
    var isThreadPointer = false
    while cursor.position < min(code.count, maximumCode) {
      var prefixes = cursor
      var prefix = prefixes.u8()
      // Fills the place of a longer sequence.
      while prefix == 0x66 { prefix = prefixes.u8() }
      let isOfThread = prefix == 0x64
      guard let instruction = Instruction(&cursor) else { return nil }
      let displacement = Int64(instruction.displacement)
      switch instruction.opcode {
      // lea descriptor(%rip), %rdi
      case 0x8d where instruction.modRM == 0x3d: descriptor = start &+ UInt64(cursor.position) &+ UInt64(bitPattern: displacement)
      case 0x8b where isOfThread:
        // mov %fs:offset, %rax
        guard instruction.modRM == 0x04, instruction.sib == 0x25 else { return nil }
        if displacement != 0 { return .threadPointer(displacement) }
        isThreadPointer = true
      // mov offset(%rax), %rax
      case 0x8b where instruction.modRM & 0x3f == 0 && instruction.modRM < 0xc0:
        if isThreadPointer { return .threadPointer(displacement) }
        return descriptor.map { .block(descriptor: ELFAddress($0), offset: displacement) }
      // ret, jmp
      case 0xc3, 0xe9, 0xeb: return nil
      default: break
      }
    }
    return nil
  }
}
