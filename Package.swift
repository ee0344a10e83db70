// swift-tools-version: 6.3;(experimentalCGen)
// experimentalCGen: the ProbeCompiler plug-in generates the C files that embed the BPF objects.
import PackageDescription

/// `make lint` and CI set SWTRACE_STRICT: a warning in this package then fails the build. Packages it depends on are not held to that.
let warnings: [SwiftSetting] = Context.environment["SWTRACE_STRICT"] == "1" ? [.treatAllWarnings(as: .error)] : []
let settings: [SwiftSetting] =
  warnings + [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
  ]
/// For the modules that touch foreign memory: every unsafe use is marked where it stands.
let strict = settings + [.strictMemorySafety()]
/// Reads megabytes while events come. A hundred times slower in debug builds, it would make the tests measure that.
let fast = strict + [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// The archives, so that the binary runs on machines without these libraries. The order is the linker's:
/// each archive before those it needs.
let archives: [LinkerSetting] =
  ["bpf", "dw", "elf", "z", "lzma", "bz2"].map { .linkedLibrary(":lib\($0).a") }
  + [.linkedLibrary("stdc++")]

let package = Package(
  name: "swtrace",
  products: [
    .executable(name: "swtrace", targets: ["swtrace"]),
    .executable(name: "swtrace-agent", targets: ["swtrace-agent"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
    // Of the agent only; nothing of the command line uses them.
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
  ],
  targets: [
    .plugin(name: "ProbeCompiler", capability: .buildTool()),
    .target(
      name: "CProbes", path: "probes", sources: ["embed"], publicHeadersPath: "include",
      plugins: ["ProbeCompiler"]),

    .systemLibrary(name: "Clibbpf", providers: [.apt(["libbpf-dev"])]),
    .systemLibrary(name: "Clibelf", providers: [.apt(["libelf-dev"])]),
    .systemLibrary(name: "Clibdw", providers: [.apt(["libdw-dev"])]),
    .systemLibrary(name: "Clibz", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CLinux"),
    .target(name: "CUnwind"),

    .target(name: "Profiles", swiftSettings: settings),
    .target(name: "Formats", dependencies: ["Clibz", "Profiles"], swiftSettings: settings),
    .target(
      name: "Linux",
      dependencies: ["CLinux", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: strict),
    .target(
      name: "BPF",
      dependencies: ["Clibbpf", "Linux", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: strict),
    .target(
      name: "DebugInfo",
      dependencies: ["CUnwind", "Clibelf", "Clibdw", "Clibz", "Linux", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: fast),
    .target(
      name: "Symbolication",
      dependencies: ["DebugInfo", "Linux", "Profiles", .product(name: "SystemPackage", package: "swift-system")],
      swiftSettings: settings),
    .target(
      name: "Unwinding",
      dependencies: ["BPF", "CProbes", "CUnwind", "DebugInfo", "Linux", "Symbolication"],
      swiftSettings: settings),
    .target(
      name: "Tools",
      dependencies: [
        "BPF", "CProbes", "CUnwind", "DebugInfo", "Formats", "Linux", "Profiles", "Symbolication", "Unwinding",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "SystemPackage", package: "swift-system"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "swtrace",
      dependencies: ["Linux", "Tools", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: settings, linkerSettings: archives),

    .target(name: "AgentModel", dependencies: ["Profiles"], swiftSettings: settings),
    .target(
      name: "AgentStore", dependencies: ["AgentModel", "Clibz", "Profiles", .product(name: "GRDB", package: "GRDB.swift")],
      swiftSettings: settings),
    .target(
      name: "AgentServer",
      dependencies: [
        "AgentModel", "Formats", "Profiles", .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"), .product(name: "HummingbirdTLS", package: "hummingbird"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "Logging", package: "swift-log"), .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      swiftSettings: settings),

    .target(
      name: "Agent",
      dependencies: [
        "AgentModel", "AgentServer", "AgentStore", "BPF", "Linux", "Profiles", "Symbolication", "Tools", "Yams",
        .product(name: "ArgumentParser", package: "swift-argument-parser"), .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "swtrace-agent",
      dependencies: ["Agent", "Linux", .product(name: "ArgumentParser", package: "swift-argument-parser")],
      swiftSettings: settings, linkerSettings: archives),

    .target(name: "CConsumer", path: "Benchmarks/CConsumer"),
    .executableTarget(
      name: "InProcessBenchmark", dependencies: ["BPF", "CConsumer", "CProbes", "DebugInfo", "Linux", "Symbolication", "Tools"],
      path: "Benchmarks/InProcess",
      swiftSettings: settings, linkerSettings: archives),

    .executableTarget(
      name: "StoreBenchmark", dependencies: ["AgentModel", "AgentStore", "Linux", "Profiles"], path: "Benchmarks/Store",
      swiftSettings: settings, linkerSettings: archives),

    .target(name: "TestSupport", dependencies: ["CLinux", "Linux"], path: "Tests/TestSupport", swiftSettings: settings),
  ]
    + tests([
      "Linux": [], "BPF": ["CProbes", "Clibbpf"], "Profiles": [], "Formats": ["Profiles"],
      "DebugInfo": ["CUnwind"], "Symbolication": ["DebugInfo", "Linux", "Profiles"],
      "Unwinding": ["CUnwind", "DebugInfo", "Linux", "Symbolication"],
      "Tools": ["BPF", "CProbes", "DebugInfo", "Formats", "Linux", "Profiles", "Symbolication", "Unwinding"],
      "swtrace": [],
      "Agent": [
        "AgentModel", "Profiles", .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      "AgentModel": ["Profiles"], "AgentStore": ["AgentModel", "Profiles"],
      "AgentServer": [
        "AgentModel", "Formats", "Profiles", .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdTesting", package: "hummingbird"),
      ],
    ])
)

/// A test target for each module; all of them become one bundle, which also runs in the virtual machines.
func tests(_ modules: [String: [Target.Dependency]]) -> [Target] {
  modules.sorted { $0.key < $1.key }.map { name, more in
    .testTarget(
      name: name == "swtrace" ? "CommandTests" : "\(name)Tests",
      dependencies: [.init(stringLiteral: name), "TestSupport", .product(name: "SystemPackage", package: "swift-system")] + more,
      swiftSettings: settings, linkerSettings: archives)
  }
}
