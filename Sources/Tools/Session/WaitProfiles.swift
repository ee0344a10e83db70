internal import CProbes
package import Profiles

extension RawStacks {
  /// The bit of waits in futex(2).
  static let locks = UInt8(OFFCPUTIME_LOCKS.rawValue)
}

extension StackProcesses.Named {
  /// Of waits of which some count as waits for locks only: those that count by their length.
  package func waits() -> Part { part(UInt8(OFFCPUTIME_WAITS.rawValue)) { _ in true } }

  /// The waits for locks among those in futex(2).
  package func locks() -> Part {
    var functions = LockFunctions()
    var known: [Stack.ID: Bool] = [:]
    return part(RawStacks.locks) { stack in
      if let answer = known[stack] { return answer }
      let answer = functions.haveWaited(in: stack, of: profile.stacks)
      known[stack] = answer
      return answer
    }
  }

  /// Some of what was named.
  package struct Part {
    package var profile: Profile
    package var events: UInt64 = 0
    /// Its samples by the entries of the stacks; nil for those of others.
    var places: [Int?] = []
  }

  private func part(_ bit: UInt8, _ isPart: (Stack.ID) -> Bool) -> Part {
    var part = Part(profile: Profile(unit: profile.unit))
    part.profile.stacks = profile.stacks
    part.places = zip(entries, places).map { entry, place in
      guard entry.profiles & bit != 0, let sample = place.map({ profile.samples[$0] }), isPart(sample.stack) else { return nil }
      part.events += entry.events
      return part.profile.add(entry.value, count: entry.events, stack: sample.stack, process: profile.processes[sample.process])
    }
    return part
  }
}
