internal import Linux
internal import ServiceLifecycle

/// Tells the service manager when the agent is ready, that it still makes progress, and what it measures.
struct Notices: Service {
  private let notice: ServiceNotice
  private let control: Control
  private let standing: AgentStanding

  init(_ notice: ServiceNotice, _ control: Control, _ standing: AgentStanding) {
    self.notice = notice
    self.control = control
    self.standing = standing
  }

  func run() async throws {
    try? await cancelWhenGracefulShutdown {
      while await standing.reasonNotReady() != nil { try await Task.sleep(for: .milliseconds(200)) }
      notice.ready(control.summary)
      // The manager ends a program that is silent for all of the time.
      let pause = Duration.microseconds(min((notice.watchdog ?? .max) / 2, 10_000_000))
      while true {
        notice.status(control.summary)
        if notice.watchdog != nil, control.makesProgress { notice.alive() }
        try await Task.sleep(for: pause)
      }
    }
    notice.stopping()
  }
}
