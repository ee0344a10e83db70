import AgentModel
import Profiles
import Testing

@testable import Agent

@Suite struct WindowMakerTests {
  /// Two threads of a service, whose values processes chose.
  @Test func sumsStayAtTheLargestNumber() throws {
    var profile = Profile(unit: .bytes)
    for (thread, value) in [(1, .max - 1), (2, 7)] as [(UInt32, UInt64)] {
      profile.add(value, stack: Stack(), process: Profile.Process(command: Array("allocator".utf8), pid: 5, tid: thread))
    }
    #expect(profile.samples.count == 2)
    var maker = WindowMaker(host: "here")
    let window = maker.window(ProfileWindow(type: .allocations, start: 10, covered: 1), of: profile, [:])
    #expect(window.series.count == 1 && window.series.first?.labels["service"] == "allocator")
    #expect(window.series.first?.samples == [.init(stack: 0, value: .max)])
  }
}
