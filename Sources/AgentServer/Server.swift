package import AgentModel
internal import Hummingbird
