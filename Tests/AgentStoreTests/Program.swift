import Profiles
import TestSupport

/// What a program's stacks are like: each function calls a few others, some of them more often.
struct Program {
  let frames: [Frame]
  private let callees: [[UInt32]]
  private var generator = SeededGenerator(seed: 11)

  init(functions: Int) {
    var generator = generator
    frames = (0..<functions).map { index in
      let name = String((0..<52).map { _ in "abcdefghijklmnopqrstuvwxyz_".randomElement(using: &generator)! })
      return Frame(function: "\(name)_\(10_000_000 + index)", module: "libservice.so.\(index % 7)", kind: index % 9 == 0 ? .kernel : .user)
    }
    callees = (0..<functions).map { _ in
      (0..<Int.random(in: 2...6, using: &generator)).map { _ in UInt32.random(in: 1..<UInt32(functions), using: &generator) }
    }
  }

  /// A stack of about thirty frames: the first callee of a function is called half of the time.
  mutating func stack() -> [UInt32] {
    var stack: [UInt32] = [0]
    for _ in 1..<Int.random(in: 20...40, using: &generator) {
      let next = callees[Int(stack[stack.count - 1])]
      stack.append(Bool.random(using: &generator) ? next[0] : next.randomElement(using: &generator)!)
    }
    return stack
  }

  /// One of those that there are already; the first more often.
  mutating func place(below count: Int) -> Int {
    let random = Double.random(in: 0..<1, using: &generator)
    return Int(Double(count) * random * random * random)
  }

  mutating func value() -> UInt64 { UInt64.random(in: 1...3, using: &generator) }
}

extension Array {
  func shuffled(seed: UInt64) -> [Element] {
    var generator = SeededGenerator(seed: seed)
    return shuffled(using: &generator)
  }
}
