package import AgentModel
internal import GRDB
