import Clibbpf
import Foundation
import Synchronization
import Testing

@testable import BPF

@Suite struct LibbpfLogTests {
  /// Makes libbpf say why it does not open something.
  private func complain() {
    let bytes: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]
    let object = bytes.withUnsafeBytes { bpf_object__open_mem($0.baseAddress, $0.count, nil) }
    #expect(object == nil)
  }

  /// Probes are loaded by several threads: who takes another one's lines does not know which program was refused.
  @Test func eachThreadHasItsOwnLines() {
    let theirs = Mutex<[String]>([])
    let (_, mine) = LibbpfLog.during {
      complain()
      let ended = DispatchSemaphore(value: 0)
      Thread {
        let (_, lines) = LibbpfLog.during { self.complain() }
        theirs.withLock { $0 = lines }
        ended.signal()
      }.start()
      ended.wait()
      complain()
    }
    let others = theirs.withLock { $0 }
    // Each line has another address in it.
    #expect(others.count == 1 && mine.count == 2)
    #expect((mine + others).allSatisfy { $0.contains("is not a proper ELF object") })
    #expect(!mine.contains { others.contains($0) })
    #expect(LibbpfLog.during {}.1 == [])
  }
}
