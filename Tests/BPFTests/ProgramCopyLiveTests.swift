import BPF
import CProbes
import TestSupport
import Testing

/// Bounds of what a program can be copied for.
@Suite(.requiresBPF, .serialized) struct ProgramCopyLiveTests {
  @Test func programsWithoutTheMarkerAreNotCopied() throws {
    let image = try #require(ProbeImage.embedded.first { $0.name == "funccount" })
    let probe = try Probe(image)
    try probe.select("hit_raw")
    let loaded = try probe.load()
    #expect(throws: BPFError.self) {
      _ = try loaded.attach("hit_raw", to: .rawTracepoint("sys_enter"), target: 0, identity: .copy(marker: 12345))
    }
    let link = try loaded.attach(
      "hit_raw", to: .rawTracepoint("sys_enter"), target: 0, identity: .copy(marker: 0x7377_7472_6163_6501))
    _ = consume link
  }

  @Test func unknownTracepointsAreRefused() throws {
    let image = try #require(ProbeImage.embedded.first { $0.name == "funccount" })
    let probe = try Probe(image)
    try probe.select("hit_raw")
    let loaded = try probe.load()
    let error = #expect(throws: BPFError.self) {
      _ = try loaded.attach(
        "hit_raw", to: .rawTracepoint("no_such_event"), target: 0, identity: .copy(marker: 0x7377_7472_6163_6501))
    }
    #expect(error?.description.contains("no tracepoint no_such_event") == true)
  }
}

extension ProbeImage {
  fileprivate static var embedded: [ProbeImage] {
    (0..<probe_image_count()).compactMap { index in
      guard let image = probe_image_at(index)?.pointee else { return nil }
      return ProbeImage(name: String(cString: image.name), bytes: UnsafeRawBufferPointer(start: image.bytes, count: image.size))
    }
  }
}
