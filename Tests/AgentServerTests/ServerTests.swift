import AgentModel
import Testing

@testable import AgentServer

@Suite struct ServerTests {
}
