internal import ArgumentParser

/// The short letters of the options that all tools share. BCC uses the same letter for different things in different tools;
/// each tool keeps the meaning that its users know from there, and declares only what differs from the defaults here.
package protocol OptionLetters {
  static var pidLetter: Character? { get }
  static var tidLetter: Character? { get }
  static var uidLetter: Character? { get }
  static var cgroupLetter: Character? { get }
  static var durationLetter: Character? { get }
}

extension OptionLetters {
  package static var pidLetter: Character? { "p" }
  package static var tidLetter: Character? { nil }
  package static var uidLetter: Character? { nil }
  package static var cgroupLetter: Character? { nil }
  package static var durationLetter: Character? { nil }
}

extension NameSpecification {
  /// The long name, with the letter if there is one.
  static func long(_ letter: Character?) -> NameSpecification {
    letter.map { [.long, .customShort($0)] } ?? .long
  }
}
