import AgentModel
import Testing

@testable import AgentStore

@Suite struct StoreTests {
}
