extension Page {
  /// How the agent is doing.
  static let health = #"""
    const probeText = ({ running, pending, frequency, threshold, interval, mode, filter, events, lost, reason }) => [
      running ? "running" : reason ?? "stopped", ...(pending ? ["changed from the next window on"] : []),
      ...(frequency ? [`${rounded(frequency)} samples a second on each processor`] : []),
      ...(threshold ? [`waits from ${durationText(threshold * 1e3)} on`] : []),
      ...(interval ? [`a sample for ${bytesText(interval)}`] : []),
      ...(mode ? [mode] : []), ...Object.entries(filter).map(([name, value]) => `only ${name} ${value}`),
      `${rounded(events)} events`, ...(lost ? [`${rounded(lost)} lost`] : []),
    ].join(", ");

    function showHealth(health, probes) {
      [knownHealth, knownProbes] = [health, probes];
      const { cost, store, profiles, remarks } = health;
      const lost = profiles.reduce((sum, profile) => sum + profile.lost, 0);
      const losses = [...(lost ? [`${rounded(lost)} lost`] : []), ...(store.dropped_windows ? [`${rounded(store.dropped_windows)} dropped`] : []),
        ...(remarks.length ? [remarks.length === 1 ? "1 remark" : `${remarks.length} remarks`] : [])];
      byId("show-health").textContent = [`Agent ${percentText(cost.processor + cost.programs)} CPU`, ...losses].join(" · ");
      byId("show-health").classList.toggle("bad", losses.length > 0);
      const list = pairs => element("dl", {}, ...pairs.flatMap(([name, text, isBad]) =>
        [element("dt", { textContent: name }), element("dd", { textContent: text, className: isBad ? "bad" : "" })]));
      const share = (part, whole) => whole > 0 ? ` (${percentText(part / whole)})` : "";
      byId("health-content").replaceChildren(
        ...(remarks.length ? [element("h3", { textContent: "Remarks" }), element("ul", {}, ...remarks.map(textContent => element("li", { textContent })))] : []),
        element("h3", { textContent: "Cost, of the last window" }),
        list([
          ["Its process", `${percentText(cost.processor)} of a processor`], ["Its programs in the kernel", cost.programs === null ? "not known" : `${percentText(cost.programs)} of a processor`],
          ["Limit", cost.limit > 0 ? `${percentText(cost.limit)} of a processor` : "none"], ["Memory", bytesText(cost.memory_bytes)],
        ]),
        element("h3", { textContent: "Probes" }), list(probes.map(probe => [probe.name, probeText(probe), probe.lost > 0 || probe.reason])),
        ...profiles.flatMap(profile => [
          element("h3", { textContent: `${typeName(profile.type)}, since the start` }),
          list([
            ["Rate", profile.frequency_hertz > 0 ? `${rounded(profile.frequency_hertz)} samples a second on each processor` : types[profile.type]?.chosen ?? ""],
            ["Measured", rounded(profile.events)],
            ["Lost", rounded(profile.lost) + share(profile.lost, profile.events), profile.lost > 0],
            ["Stacks cut short", rounded(profile.cut_stacks) + share(profile.cut_stacks, profile.cut_stacks + profile.whole_stacks)],
            ["Frames without a name", rounded(profile.unnamed_frames) + share(profile.unnamed_frames, profile.frames)],
          ]),
        ]),
        element("h3", { textContent: "Store" }),
        list([
          ["Size", bytesText(store.bytes) + (store.limit_bytes ? ` of ${bytesText(store.limit_bytes)}` : "")],
          ["Windows dropped", rounded(store.dropped_windows), store.dropped_windows > 0],
          ...Object.entries(store.extents).map(([type, range]) => [typeName(type), rangeText(range)]),
        ]),
        element("h3", { textContent: "Program" }), list([["Version", health.version], ["Started", pointText(health.started_at)]]));
      showNothing();
    }

    // What the shown time lacks, in words; the picture has it too.
    function showMissing() {
      const { time, lost } = missingIn(...shownSteps());
      byId("missing").textContent = [...(time > 0 ? [`${durationText(time * 1e9)} not measured`] : []), ...(lost > 0 ? [`${rounded(lost)} events lost`] : [])].join(", ");
    }
    """#
}
