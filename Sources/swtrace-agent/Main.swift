import Agent
import ArgumentParser
import Linux

@main
struct Main {
  static func main() async {
    ProgramMemory.returnLargeBlocks()
    StandardDescriptors.complete()
    // Privileges are given up here, before there is another thread.
    if let run = try? AgentCommand.parseAsRoot() as? AgentCommand.Run {
      do {
        let agent = try run.prepare()
        try await agent()
      } catch {
        AgentCommand.exit(withError: error)
      }
    } else {
      await AgentCommand.main()
    }
  }
}
