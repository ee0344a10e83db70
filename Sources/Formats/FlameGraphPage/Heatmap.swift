extension FlameGraph.Page {
  /// When the samples were taken: a column for each second, in rows the parts of it. A range of time filters everything else.
  static let heatmap = #"""
    const heat = byId("heat"), heatContext = heat.getContext("2d", { alpha: false }), heatImage = document.createElement("canvas");
    // The parts of a column, and the pixels of a part; a step is the unit of all times here.
    const parts = 50, partHeight = 2, axisHeight = 16;
    const cells = { columns: 0, perColumn: 1, width: 1, steps: 1, values: new Float64Array(0), cursor: -1, anchor: -1, range: null };

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
        heat.hidden = true;
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
      if (!times() || heat.clientWidth === 0) return;
      const { at, entry, value, perSecond } = times(), last = at[at.length - 1];
      const room = Math.floor(heat.clientWidth / 4), count = Math.ceil((last + 1) / perSecond);
      const sizes = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400];
      cells.perColumn = sizes.find(size => count / size <= room) ?? Math.ceil(count / room);
      cells.columns = Math.ceil(count / cells.perColumn);
      cells.steps = cells.perColumn * perSecond / parts;
      cells.width = Math.min(48, Math.floor(heat.clientWidth / cells.columns));
      cells.values = new Float64Array(cells.columns * parts);
      for (let i = 0; i < at.length; i++) if (passes(entry[i])) cells.values[Math.floor(at[i] / cells.steps)] += value ? value[i] : 1;
      byId("time-about").textContent = `Each column is ${cells.perColumn === 1 ? "a second" : `${cells.perColumn} seconds`}, from top to bottom; `
        + "drag to choose a time, click to choose a column";
      paintHeatImage();
      drawHeat();
    }

    function paintHeatImage() {
      const largest = cells.values.reduce((most, value) => Math.max(most, value), 0), stops = schemes[scheme()].heat.map(rgb);
      heatImage.width = Math.max(cells.columns, 1);
      heatImage.height = parts;
      const pixels = new ImageData(heatImage.width, parts);
      cells.values.forEach((value, cell) => {
        const place = value > 0 ? 1 + Math.sqrt(value / largest) * (stops.length - 2) : 0, low = Math.min(Math.floor(place), stops.length - 2);
        const color = stops[low].map((channel, k) => channel + (stops[low + 1][k] - channel) * (place - low));
        pixels.data.set([...color, 255], 4 * ((cell % parts) * heatImage.width + Math.floor(cell / parts)));
      });
      heatImage.getContext("2d").putImageData(pixels, 0, 0);
    }

    const columnOf = cell => Math.floor(cell / parts);
    const cellsOf = ([from, to]) => [Math.floor(from / cells.steps), Math.ceil(to / cells.steps)];

    // One picture for all cells, and at most four rectangles for what is not chosen: nothing here grows with the samples.
    function drawHeat() {
      if (!knownTimes || heat.clientWidth === 0) return;
      const ratio = devicePixelRatio || 1, width = heat.clientWidth, height = parts * partHeight, colors = schemes[scheme()];
      heat.width = Math.round(width * ratio);
      heat.height = Math.round((height + axisHeight) * ratio);
      heatContext.setTransform(ratio, 0, 0, ratio, 0, 0);
      heatContext.fillStyle = colors.page;
      heatContext.fillRect(0, 0, width, height + axisHeight);
      heatContext.imageSmoothingEnabled = false;
      heatContext.drawImage(heatImage, 0, 0, cells.columns * cells.width, height);
      heatContext.font = "11px system-ui, sans-serif";
      heatContext.textBaseline = "bottom";
      heatContext.fillStyle = colors.text;
      const every = Math.ceil(56 / cells.width);
      for (let column = 0; column < cells.columns; column += every) {
        heatContext.fillText(`${column * cells.perColumn} s`, column * cells.width + 1, height + axisHeight - 1);
      }
      const range = cells.range ?? state.time;
      if (range) {
        const [first, end] = cellsOf(range), [left, right] = [columnOf(first), columnOf(end)].map(column => column * cells.width);
        heatContext.fillStyle = `${colors.page}b8`;
        heatContext.fillRect(0, 0, left, height);
        heatContext.fillRect(left, 0, cells.width, first % parts * partHeight);
        heatContext.fillRect(right, end % parts * partHeight, cells.width, height);
        heatContext.fillRect(right + cells.width, 0, width, height);
      }
      if (document.activeElement === heat && cells.cursor >= 0) {
        heatContext.strokeStyle = colors.selected;
        heatContext.lineWidth = 2;
        heatContext.strokeRect(columnOf(cells.cursor) * cells.width, cells.cursor % parts * partHeight - 1, Math.max(cells.width, 3), partHeight + 2);
      }
    }

    // Whatever is chosen ends with the last column.
    const stepsOf = (first, last) => [first, last + 1].map(cell => Math.round(cell * cells.steps));

    function setTime(range) {
      cells.range = null;
      state.time = range;
      refilter();
      say(range ? `Time ${rangeText(range)}, ${quantity(tree.total[0])}` : "All of the time");
      keepState(true);
    }
    const chooseColumn = cell => setTime(stepsOf(columnOf(cell) * parts, columnOf(cell) * parts + parts - 1));
    const chooseCells = (a, b) => setTime(stepsOf(Math.min(a, b), Math.max(a, b)));

    function cellAt(event) {
      const { left, top } = heat.getBoundingClientRect();
      const clamp = (number, limit) => Math.max(0, Math.min(limit - 1, Math.floor(number)));
      return clamp((event.clientX - left) / cells.width, cells.columns) * parts + clamp((event.clientY - top) / partHeight, parts);
    }
    heat.addEventListener("pointerdown", event => {
      if (event.button !== 0) return;
      heat.setPointerCapture(event.pointerId);
      cells.cursor = cells.anchor = cellAt(event);
    });
    heat.addEventListener("pointermove", event => {
      const cell = cellAt(event);
      if (heat.hasPointerCapture(event.pointerId)) {
        cells.cursor = cell;
        if (cell !== cells.anchor) cells.range = stepsOf(Math.min(cell, cells.anchor), Math.max(cell, cells.anchor));
        drawHeat();
      }
      byId("time-cell").textContent = cells.range ? rangeText(cells.range) : `${rangeText(stepsOf(cell, cell))}: ${quantity(cells.values[cell])}`;
    });
    heat.addEventListener("pointerup", () => {
      if (cells.range) chooseCells(cells.anchor, cells.cursor); else chooseColumn(cells.cursor);
    });
    heat.addEventListener("pointerleave", () => { byId("time-cell").textContent = ""; });
    for (const kind of ["focus", "blur"]) heat.addEventListener(kind, drawHeat);
    heat.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const last = cells.values.length - 1;
      const move = by => {
        const isFirst = cells.cursor < 0;
        cells.cursor = isFirst ? 0 : Math.max(0, Math.min(last, cells.cursor + by));
        if (event.shiftKey && !isFirst) chooseCells(cells.anchor, cells.cursor);
        else {
          cells.anchor = cells.cursor;
          say(`${rangeText(stepsOf(cells.cursor, cells.cursor))}, ${quantity(cells.values[cells.cursor])}`);
          drawHeat();
        }
      };
      const keys = {
        ArrowRight: () => move(parts), ArrowLeft: () => move(-parts), ArrowDown: () => move(1), ArrowUp: () => move(-1),
        Home: () => move(-last), End: () => move(last), Enter: () => chooseColumn(Math.max(cells.cursor, 0)),
        " ": () => chooseColumn(Math.max(cells.cursor, 0)), Backspace: () => setTime(null), Delete: () => setTime(null),
      };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });
    """#
}
