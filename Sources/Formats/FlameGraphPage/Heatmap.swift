extension FlameGraph.Page {
  /// When the samples were taken: a column for each second, in rows the parts of it. A range of time filters everything else.
  static let heatmap = #"""
    // The parts of a column, and the pixels of a part; a step is the unit of all times here.
    const parts = 50, partHeight = 2, cells = { perColumn: 1, steps: 1 };
    const heat = makeHeatmap(byId("heat"), {
      colors: () => schemes[scheme()],
      nameOf: column => `${column * cells.perColumn} s`,
      chosen: () => state.time && [Math.floor(state.time[0] / cells.steps), Math.ceil(state.time[1] / cells.steps)],
      point: (range, isKey) => {
        const text = range && rangeText(stepsOf(...range)), value = range && quantity(heat.values[range[0]]);
        if (isKey) return say(`${text}, ${value}`);
        byId("time-cell").textContent = !range ? "" : heat.isDragged ? text : `${text}: ${value}`;
      },
      choose: (first, last) => setTime(stepsOf(first, last)),
      clear: () => setTime(null),
    });

    // Read when it is needed first, as it may be larger than all the rest.
    let knownTimes;
    function times() {
      if (knownTimes !== undefined) return knownTimes;
      knownTimes = null;
      const source = byId("times") && JSON.parse(byId("times").textContent);
      if (!source) return null;
      if (source.limit) {
        byId("time-about").textContent =
          `More than ${grouped(source.limit, 0)} samples: their times were not kept. A shorter recording shows them here.`;
        byId("heat").hidden = true;
        return null;
      }
      const at = new Uint32Array(source.time);
      for (let i = 1; i < at.length; i++) at[i] += at[i - 1];
      const perSecond = 1e9 / source.step;
      return knownTimes = { at, entry: new Uint32Array(source.entry), value: source.value ? new Float64Array(source.value) : null, perSecond };
    }

    // The first moment that is not before a time.
    function momentAt(step) {
      const { at } = times();
      let low = 0, high = at.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (at[middle] < step) low = middle + 1; else high = middle;
      }
      return low;
    }

    const seconds = step => `${+(step / times().perSecond).toFixed(4)} s`;
    const rangeText = ([from, to]) => `${seconds(from)} to ${seconds(to)}`;

    // Counts what passes the other filters, whatever the chosen time.
    function fillHeat(passes) {
      const { clientWidth } = byId("heat");
      if (!times() || clientWidth === 0) return;
      const { at, entry, value, perSecond } = times(), last = at[at.length - 1];
      const room = Math.floor(clientWidth / 4), count = Math.ceil((last + 1) / perSecond);
      const sizes = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400];
      cells.perColumn = sizes.find(size => count / size <= room) ?? Math.ceil(count / room);
      cells.steps = cells.perColumn * perSecond / parts;
      const columns = Math.ceil(count / cells.perColumn), values = new Float64Array(columns * parts);
      for (let i = 0; i < at.length; i++) if (passes(entry[i])) values[Math.floor(at[i] / cells.steps)] += value ? value[i] : 1;
      byId("time-about").textContent = `Each column is ${cells.perColumn === 1 ? "a second" : `${cells.perColumn} seconds`}, from top to bottom; `
        + "drag to choose a time, click to choose a column";
      heat.set(columns, parts, partHeight, values);
    }

    const stepsOf = (first, last) => [first, last + 1].map(cell => Math.round(cell * cells.steps));

    function setTime(range) {
      state.time = range;
      refilter();
      say(range ? `Time ${rangeText(range)}, ${quantity(tree.total[0])}` : "All of the time");
      keepState(true);
    }
    """#
}
