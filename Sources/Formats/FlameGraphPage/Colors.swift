extension FlameGraph.Page {
  /// Light and dark, and what a frame's color says: its kind, its module, or how much its share changed.
  static let colors = #"""
    const schemes = {
      light: { page: "#ffffff", text: "#16181d", small: "#c3c8d1", match: "#c2185b", matchText: "#ffffff", hover: "#16181d", selected: "#0b57d0",
        heat: heatStops.light },
      dark: { page: "#16181d", text: "#eceff4", small: "#434a57", match: "#f06292", matchText: "#16181d", hover: "#eceff4", selected: "#8ab4f8",
        heat: heatStops.dark },
    };
    const prefersDark = matchMedia("(prefers-color-scheme: dark)");
    const scheme = () => state.theme || (prefersDark.matches ? "dark" : "light");
    const rgb = color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
    const mixed = (color, other, share) => {
      const channels = rgb(other);
      return `#${rgb(color).map((value, k) => Math.round(value * share + channels[k] * (1 - share)).toString(16).padStart(2, "0")).join("")}`;
    };
    const fills = profile.colors;
    // Every frame color mixed with the page's, for what steps back: mixed once, not by opacity for each frame.
    const faintFills = Object.fromEntries(
      Object.entries(schemes).map(([name, { page }]) => [name, fills[name].map(color => mixed(color, page, 0.4))]));

    // The modules that cost most have colors of their own; all others share the last one.
    const [firstModuleColor, moduleColorCount] = profile.moduleColors;
    // What ran in each module, and in the kernel and outside.
    const moduleWeight = new Float64Array(strings.length), partWeight = { user: 0, kernel: 0 };
    for (const source of sources) {
      const { node, value } = source;
      source.sum = 0;
      for (let i = 0; i < node.length; i++) {
        source.sum += value[i];
        const fn = tree.fn[node[i]];
        moduleWeight[functions.module[fn]] += value[i];
        partWeight[functions.kind[fn] === 1 ? "kernel" : "user"] += value[i];
      }
    }
    const modules = [...new Set(functions.module)].filter(module => strings[module] !== "")
      .sort((a, b) => moduleWeight[b] - moduleWeight[a] || (strings[a] < strings[b] ? -1 : 1));
    const coloredModules = modules.slice(0, moduleColorCount - 1);
    const otherModules = firstModuleColor + moduleColorCount - 1;
    const moduleColor = new Uint8Array(strings.length).fill(otherModules);
    coloredModules.forEach((module, k) => { moduleColor[module] = firstModuleColor + k; });

    // For each way to color, a tree's function from node to color.
    const colorings = {
      kind: ({ fn }) => node => functions.color[fn[node]],
      // Markers, processes and the root are in no module.
      module: ({ fn }) => node => functions.kind[fn[node]] > 2 ? functions.color[fn[node]] : moduleColor[functions.module[fn[node]]],
      change: part => {
        const largest = largestChange();
        return node => {
          const { change, noise } = differenceOf(part, node);
          if (change === 0 || noise >= Math.abs(change)) return profile.changeColor;
          const steps = Math.ceil(Math.min(Math.abs(change) / largest, 1) * 8 - 1e-9);
          return profile.changeColor + (change < 0 ? -steps : steps);
        };
      },
    };

    // How two shares compare. values and wholes are by channel; the noise is three standard errors of the difference, null when nobody
    // knows how many events there were.
    function difference(values, wholes) {
      const share = c => wholes[c] > 0 ? values[c] / wholes[c] : 0;
      const after = share(0), before = share(1);
      const hasCounts = values.length === 4;
      if (!isSampled && !hasCounts || !(wholes[0] > 0 && wholes[1] > 0)) return { before, after, change: after - before, noise: null };
      const [ours, theirs] = hasCounts ? [wholes[2], wholes[3]] : [wholes[0], wholes[1]].map(value => value / 10 ** profile.decimals);
      const pooled = (after * ours + before * theirs) / (ours + theirs);
      // Times and sizes differ from event to event, and few large ones are less certain than many small ones.
      const spread = isSampled ? 1 : 2;
      const events = values[2] + values[3];
      const size = isSampled || !(events > 0) ? 1 : (values[0] + values[1]) / events / ((wholes[0] / ours + wholes[1] / theirs) / 2);
      const noise = 3 * Math.sqrt(spread * size * pooled * Math.max(1 - pooled, 0) * (1 / ours + 1 / theirs));
      return { before, after, change: after - before, noise };
    }
    const wholes = () => tree.weights.map(({ total }) => total[0]);
    const differenceOf = (part, node) => difference(part.weights.map(({ total }) => total[node]), wholes());

    function largestChange() {
      if (tree.largestChange === undefined) {
        const [after, before] = tree.weights.map(({ total }) => total), [ours, theirs] = [after[0] || 1, before[0] || 1];
        tree.largestChange = 0;
        for (let i = 1; i < tree.count; i++) tree.largestChange = Math.max(tree.largestChange, Math.abs(after[i] / ours - before[i] / theirs));
      }
      return tree.largestChange;
    }

    function describeChange(part, node) {
      const { before, change, noise } = differenceOf(part, node);
      const sure = noise === null ? "" : Math.abs(change) > noise ? `, beyond noise (±${points(noise)})` : `, within noise (±${points(noise)})`;
      return `before ${points(before)}, change ${signed(change)}${sure}`;
    }

    function showLegend() {
      const colors = fills[scheme()], present = new Set(functions.kind);
      const entries = {
        kind: () => profile.kinds.flatMap((label, kind) => label && present.has(kind) ? [[profile.legend[kind], label]] : []),
        module: () => [...coloredModules.map(module => [moduleColor[module], strings[module]]),
          ...(coloredModules.length === moduleColorCount - 1 ? [[otherModules, "others"]] : [])],
        change: () => [[profile.changeColor + 8, "grew"], [profile.changeColor - 8, "shrank"], [profile.changeColor, "no change beyond noise"]],
      }[state.colors]();
      byId("legend").replaceChildren(...entries.map(([color, label]) => {
        const mark = element("i");
        mark.style.background = colors[color];
        return element("span", {}, mark, label);
      }));
    }
    """#
}
