import Agent
import ArgumentParser
import Linux

@main
struct Main {
  static func main() async {
    ProgramMemory.returnLargeBlocks()
    StandardDescriptors.complete()
    await AgentCommand.main()
  }
}
