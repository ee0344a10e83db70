import Dispatch
import SystemPackage
import TestSupport
import Testing

@testable import Linux
@testable import Symbolication
@testable import Unwinding

@Suite struct TableWorkerTests {
  /// A worker that waits before each job, and makes nothing.
  private struct Gate: Sendable {
    let begun = DispatchSemaphore(value: 0)
    let open = DispatchSemaphore(value: 0)

    func worker() -> TableWorker {
      TableWorker { [self] _ in
        begun.signal()
        open.wait()
        return .failed("a test")
      }
    }
  }

  private func key(_ number: UInt64) -> UnwindExecutable.Key {
    .file(FileIdentity(device: 0, inode: number, size: 0, modifiedNanoseconds: 0, owner: 0))
  }

  private func submit(_ numbers: [UInt64], _ worker: TableWorker) throws {
    for number in numbers {
      #expect(worker.submit(key(number), UnopenedFile(try File.open("/proc/self/exe"), name: "\(number)", isOurs: true)))
    }
  }

  /// What somebody waits for comes before the rest, which stays in its order.
  @Test func whatIsNeededComesFirst() throws {
    let gate = Gate()
    let worker = gate.worker()
    // Nothing to wait for.
    worker.waitForResult(nanoseconds: .max / 4)
    try submit([1], worker)
    gate.begun.wait()
    try submit([2, 3, 4, 5, 6], worker)
    worker.prefer([key(6), key(4), key(1), key(99)])
    worker.waitForResult(nanoseconds: 1)
    #expect(worker.take().isEmpty)
    gate.open.signal()
    worker.waitForResult(nanoseconds: .max / 4)
    #expect(worker.take().map(\.key) == [key(1)])
    for _ in 0..<5 { gate.open.signal() }
    #expect(worker.take(all: true).map(\.key) == [4, 6, 2, 3, 5].map(key))
    // Results that were taken are not waited for again, and one that is there is not waited for.
    try submit([7], worker)
    gate.open.signal()
    worker.wait(for: key(7))
    worker.waitForResult(nanoseconds: .max / 4)
    #expect(worker.take().map(\.key) == [key(7)])
    worker.wait(for: key(8))
  }
}
