extension Page {
  /// Activity within minutes, hours or days: what comes again at the same place of each is a line.
  static let heatmap = #"""
    // Up to a span of so many seconds: the seconds of a column and of a cell.
    const heatScales = [[7200, 60, 10], [43200, 600, 10], [4 * 86400, 3600, 60], [40 * 86400, 86400, 1800], [Infinity, 604800, 21600]];
    const heatShape = { start: 0, column: 60, cell: 10 };
    const heatCanvas = byId("heatmap");
    const secondOfCell = cell => heatShape.start + cell * heatShape.cell;
    const rangeOfCells = (first, last) => [secondOfCell(first), secondOfCell(last + 1)];
    const heatmap = makeHeatmap(heatCanvas, {
      colors: () => ({ ...palettes[scheme()], selected: palettes[scheme()].accent, heat: heatStops[scheme()] }),
      nameOf: column => {
        const second = heatShape.start + column * heatShape.column;
        return heatShape.column < 86400 ? shortClock.format(second * 1000) : day.format(second * 1000);
      },
      chosen: () => asked.at && asked.at[1] > heatShape.start && asked.at[0] < secondOfCell(heatmap.values.length)
        ? [Math.floor((asked.at[0] - heatShape.start) / heatShape.cell), Math.ceil((asked.at[1] - heatShape.start) / heatShape.cell)]
          .map(cell => Math.max(0, Math.min(heatmap.values.length, cell))) : null,
      point: (range, isKey) => {
        const value = range && heatmap.values[range[0]];
        const text = !range ? "" : heatmap.isDragged ? rangeText(rangeOfCells(...range))
          : `${rangeText(rangeOfCells(...range))}: ${Number.isNaN(value) ? "not measured" : rateText(value)}`;
        byId("timeline-about").textContent = text;
        if (isKey) say(text);
      },
      choose: (first, last) => choose(rangeOfCells(first, last)),
      clear: () => choose(null),
    });

    async function loadHeatmap() {
      const [from, to] = span(), [, column, cell] = heatScales.find(([limit]) => to - from <= limit);
      // Days begin at midnight.
      const offset = column < 3600 ? 0 : new Date(from * 1000).getTimezoneOffset() * 60;
      const start = Math.floor((from - offset) / column) * column + offset, columns = Math.ceil((to - start) / column), parts = column / cell;
      const timeline = await ask("heatmap", "/api/v1/timeline", { ...parameters([start, to]), step: cell, by: asked.by });
      if (!timeline) return;
      Object.assign(heatShape, { start, column, cell });
      const { total } = ratesOf(timeline), values = new Float64Array(columns * parts).fill(NaN);
      total.forEach((rate, i) => {
        const place = Math.round((timeline.start + i * timeline.step - start) / cell);
        if (timeline.covered[i] > 0 && place >= 0 && place < values.length) values[place] = rate;
      });
      heatmap.set(columns, parts, Math.max(2, Math.floor(plotHeight / parts)), values);
      const names = { 60: "a minute", 600: "ten minutes", 3600: "an hour", 86400: "a day", 604800: "a week" };
      byId("over-about").textContent = `Each column is ${names[column]}, from top to bottom, in steps of ${durationText(cell * 1e9)}.`;
    }
    """#
}
