import Foundation
import PackagePlugin

/// Compiles each `probes/NAME.bpf.c` to a CO-RE object and wraps it in a C file that embeds it.
///
/// The objects end up in the section `probe_images` of the linked program; no list of them exists anywhere.
/// The compiler is the Swift toolchain's own clang; `BPF_CLANG` and `BPF_OBJCOPY` name others.
@main
struct ProbeCompiler: BuildToolPlugin {
  func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
    let probes = target.directoryURL
    let include = probes.appending(path: "include")
    let output = context.pluginWorkDirectoryURL
    let clang = try tool("clang", override: "BPF_CLANG", context)
    let objcopy = try tool("llvm-objcopy", override: "BPF_OBJCOPY", context)
    // Every probe depends on every header: an edit of a shared one rebuilds all, in well under a second.
    let headers = try list(probes, ".h") + list(include, ".h")

    // -mcpu=v2: later instruction sets turn plain atomic adds into BPF_FETCH, which kernel 5.10 refuses.
    // --strip-debug keeps .BTF and .BTF.ext; without -ffile-prefix-map the latter would name the build folder.
    let script = #"""
      set -eu
      "$clang" -target bpf -mcpu=v2 -O2 -g -std=gnu17 -D__TARGET_ARCH_$arch \
        -Wall -Wextra -Wno-unused-parameter -Wno-default-const-init-var-unsafe -Wno-unknown-warning-option -Werror \
        -ffile-prefix-map="$probes"=probes -I"$probes" -I"$include" -c "$source" -o "$object.debug"
      "$objcopy" --strip-debug "$object.debug" "$object"
      cat > "$generated.new" <<EOF
      #include <stddef.h>
      #pragma clang diagnostic ignored "-Wc23-extensions"
      struct probe_image { const char *name; const unsigned char *bytes; size_t size; };
      static const unsigned char bytes[] __attribute__((aligned(8))) = {
      #embed "$object"
      };
      __attribute__((used, retain, section("probe_images")))
      static const struct probe_image image = { "$name", bytes, sizeof bytes };
      EOF
      mv "$generated.new" "$generated"
      """#
    return try list(probes, ".bpf.c").map { source in
      let name = String(source.lastPathComponent.dropLast(".bpf.c".count))
      let object = output.appending(path: "\(name).bpf.o")
      let generated = output.appending(path: "\(name).embed.c")
      return .buildCommand(
        displayName: "Compiling probe \(name)", executable: URL(filePath: "/bin/sh"), arguments: ["-c", script],
        environment: [
          "clang": clang.path, "objcopy": objcopy.path, "arch": architecture, "probes": probes.path,
          "include": include.path, "source": source.path, "object": object.path, "generated": generated.path,
          "name": name,
        ],
        inputFiles: [source] + headers, outputFiles: [generated])
    }
  }

  /// The files of a directory with that ending, in a stable order.
  private func list(_ directory: URL, _ suffix: String) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil)
      .filter { $0.lastPathComponent.hasSuffix(suffix) }
      .sorted { $0.path < $1.path }
  }

  /// The toolchain's tool of that name, unless the environment names another.
  private func tool(_ name: String, override variable: String, _ context: PluginContext) throws -> URL {
    if let path = ProcessInfo.processInfo.environment[variable] { return URL(filePath: path) }
    return try context.tool(named: name).url
  }

  /// libbpf's name of the architecture, which selects the registers in `bpf_tracing.h`.
  private var architecture: String {
    #if arch(x86_64)
      "x86"
    #else
      "arm64"
    #endif
  }
}
