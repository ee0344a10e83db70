internal import AgentModel
internal import FoundationEssentials
internal import Hummingbird
internal import NIOCore

/// What is asked about probes and the budget, and what changes them.
struct Controls: Sendable {
  let control: any AgentControl

  func probes(_ request: Request) async throws -> Response {
    _ = try Parameters(request, names: [], now: 0)
    return Response(json: .object([("probes", .array(await control.probes().map(Self.json)))]))
  }

  func changeProbe(_ request: Request, _ context: RequestDetails) async throws -> Response {
    let name = try context.parameters.require("name")
    let change = try await Self.body(request, as: ProbeBody.self)
    do {
      guard let standing = try await control.change(name, change.change, by: context.who) else {
        let names = await control.probes().map(\.name)
        throw Problem(.notFound, "there is no probe '\(name)': there are \(names.joined(separator: ", "))")
      }
      return Response(json: Self.json(standing))
    } catch let error as ControlError {
      throw Problem.bad("\(error)")
    }
  }

  func budget(_ request: Request) async throws -> Response {
    _ = try Parameters(request, names: [], now: 0)
    return Response(json: Self.json(await control.budget()))
  }

  func changeBudget(_ request: Request, _ context: RequestDetails) async throws -> Response {
    let change = try await Self.body(request, as: BudgetBody.self)
    do {
      return Response(json: Self.json(try await control.change(change.change, by: context.who)))
    } catch {
      throw Problem.bad("\(error)")
    }
  }

  private static func json(_ probe: ProbeState) -> JSON {
    let settings = probe.settings
    let filter = [("comm", settings.filter.comm), ("cgroup", settings.filter.cgroup), ("user", settings.filter.user)]
    return .object([
      ("name", .string(probe.name)), ("label", .string(probe.label)), ("running", .bool(probe.isRunning)),
      ("pending", .bool(probe.isPending)),
      ("frequency", settings.frequency.map(JSON.natural) ?? .null), ("threshold", settings.threshold.map(JSON.natural) ?? .null),
      ("interval", settings.interval.map(JSON.natural) ?? .null),
      ("mode", settings.mode.map(JSON.string) ?? .null),
      ("filter", .object(filter.filter { !$0.1.isEmpty }.map { ($0.0, .string($0.1)) })), ("events", .natural(probe.events)),
      ("lost", .natural(probe.lost)), ("reason", probe.hindrance.map { .string($0.reason) } ?? .null),
    ])
  }

  private static func json(_ budget: Budget) -> JSON {
    .object([("max_cpu", .number(budget.processor)), ("max_memory_bytes", .integer(budget.memory))])
  }

  /// - Throws: `Problem` 400 for what is not the object that is expected: a member that is misspelt would silently change nothing.
  private static func body<Body: Decodable>(_ request: Request, as _: Body.Type) async throws -> Body {
    _ = try Parameters(request, names: [], now: 0)
    let buffer: ByteBuffer
    do { buffer = try await request.body.collect(upTo: 4096) } catch is NIOTooManyBytesError {
      throw Problem(.contentTooLarge, "the body has more than 4096 bytes")
    }
    do { return try JSONDecoder().decode(Body.self, from: Data(buffer.readableBytesView)) } catch let problem as Problem {
      throw problem
    } catch DecodingError.typeMismatch(_, let context) {
      throw Problem.bad("the body's \(Self.place(context)) has a value of another kind: /api/v1/openapi.json says which it takes")
    } catch {
      throw Problem.bad("the body is no JSON object with numbers in range: send for example {\"running\":false}")
    }
  }

  private static func place(_ context: DecodingError.Context) -> String {
    context.codingPath.isEmpty ? "outermost value" : context.codingPath.map(\.stringValue).joined(separator: ".")
  }
}

private struct ProbeBody: Decodable {
  var change = ProbeChange()

  init(from decoder: any Decoder) throws {
    let members = try Members(decoder, ["running", "frequency", "threshold", "interval", "mode", "filter"])
    change.isRunning = try members.value("running", Bool.self)
    change.frequency = try members.value("frequency", UInt64.self)
    change.threshold = try members.value("threshold", UInt64.self)
    change.interval = try members.value("interval", UInt64.self)
    change.mode = try members.value("mode", String.self)
    change.filter = try members.value("filter", FilterBody.self)?.filter
  }
}

private struct FilterBody: Decodable {
  var filter = ProbeSettings.Filter()

  init(from decoder: any Decoder) throws {
    let members = try Members(decoder, ["comm", "cgroup", "user"])
    filter.comm = try members.value("comm", String.self) ?? ""
    filter.cgroup = try members.value("cgroup", String.self) ?? ""
    filter.user = try members.value("user", String.self) ?? ""
  }
}

private struct BudgetBody: Decodable {
  var change = BudgetChange()

  init(from decoder: any Decoder) throws {
    let members = try Members(decoder, ["max_cpu", "max_memory_bytes"])
    change.processor = try members.value("max_cpu", Double.self)
    change.memory = try members.value("max_memory_bytes", Int64.self)
  }
}

/// The members of an object, all of which are known.
private struct Members {
  private struct Name: CodingKey {
    var stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  private let container: KeyedDecodingContainer<Name>

  init(_ decoder: any Decoder, _ names: [String]) throws {
    container = try decoder.container(keyedBy: Name.self)
    if let other = container.allKeys.map(\.stringValue).sorted().first(where: { !names.contains($0) }) {
      throw Problem.bad("the body has a member '\(other)': there are \(names.joined(separator: ", "))")
    }
    if container.allKeys.isEmpty, decoder.codingPath.isEmpty {
      throw Problem.bad("the body changes nothing: it may have \(names.joined(separator: ", "))")
    }
  }

  func value<Value: Decodable>(_ name: String, _: Value.Type) throws -> Value? {
    try container.decodeIfPresent(Value.self, forKey: Name(stringValue: name))
  }
}
