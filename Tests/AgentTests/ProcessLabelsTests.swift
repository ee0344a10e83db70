import Testing

@testable import Agent

@Suite struct ProcessLabelsTests {
  private static let number = String(repeating: "0123456789abcdef", count: 4)
  private static let pod = "3f2a9c1e-0b4d-4c8a-9f7e-1d2c3b4a5968"

  @Test(
    arguments: [
      // As systemd, Docker, Podman, containerd and CRI-O write them, in one hierarchy and in several.
      ("0::/system.slice/nginx.service", "nginx", nil, nil),
      ("0::/system.slice/ssh@7-10.0.0.1:22.service", "ssh@7-10.0.0.1:22", nil, nil),
      ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/editor.service", "editor", nil, nil),
      ("0::/user.slice/user-1000.slice/user@1000.service/init.scope", nil, nil, nil),
      ("0::/system.slice/docker-\(number).scope", nil, "0123456789ab", nil),
      ("12:pids:/docker/\(number)\n1:name=systemd:/docker/\(number)\n", nil, "0123456789ab", nil),
      ("0::/machine.slice/libpod-\(number).scope/container", nil, "0123456789ab", nil),
      (
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod\(pod.replacing("-", with: "_")).slice/cri-containerd-\(number).scope",
        nil, "0123456789ab", pod
      ),
      ("0::/kubepods/besteffort/pod\(pod)/\(number)", nil, "0123456789ab", pod),
      ("0::/kubepods.slice/kubepods-pod\(pod.replacing("-", with: "_")).slice/crio-\(number).scope", nil, "0123456789ab", pod),
      ("0::/", nil, nil, nil), ("", nil, nil, nil), ("no cgroup at all", nil, nil, nil), (":::::", nil, nil, nil),
    ] as [(String, String?, String?, String?)])
  func cgroupsSayWhatRunsThere(_ cgroups: String, unit: String?, container: String?, pod: String?) {
    let labels = ProcessLabels(cgroups: cgroups)
    #expect(labels.unit == unit)
    #expect(labels.container == container)
    #expect(labels.pod == pod)
  }

  @Test func theProcessIsTheServiceOfWhatHasNone() {
    let none = ProcessLabels(cgroups: "0::/user.slice/user-0.slice/session-1.scope")
    #expect(none.pairs(thread: Array("bash".utf8)).map(\.0) == ["service"] && none.pairs(thread: Array("bash".utf8)).first?.1 == "bash")
    var unit = ProcessLabels(cgroups: "0::/system.slice/cron.service")
    unit.name = Array("run-parts".utf8)
    #expect(Dictionary(uniqueKeysWithValues: unit.pairs(thread: Array("worker".utf8))) == ["service": "cron", "comm": "run-parts"])
  }
}
