extension Page {
  /// What was measured over time, by service, on a canvas.
  static let timeline = #"""
    const canvas = byId("timeline"), context = canvas.getContext("2d", { alpha: false });
    const palettes = {
      light: { page: "#ffffff", text: "#16181d", quiet: "#565d6b", line: "#d6dae1", accent: "#0b57d0", bad: "#b3261e", quantiles: ["#16181d", "#b06000", "#c2185b"],
        series: ["#4c78b8", "#e08a3c", "#4f9d69", "#b55a9d", "#c9a227", "#5aa7b5", "#8d6bb1", "#a3a9b5"] },
      dark: { page: "#16181d", text: "#eceff4", quiet: "#a4acba", line: "#343944", accent: "#8ab4f8", bad: "#f2b8b5", quantiles: ["#eceff4", "#fdbb5c", "#f06292"],
        series: ["#6f9ad8", "#e6a567", "#6fbd89", "#cf82ba", "#d9bb55", "#7cc4d1", "#a98bcc", "#6a7180"] },
    };
    const axisHeight = 16, plotHeight = 132 - axisHeight, namedRows = 7;
    // Typed arrays by step: the rate of each named row, of the others, and of all. A step that was not measured has no rate. Before: the
    // rate of all as it was earlier, or null. Ends: the first step that was measured, and the one after the last. Metric: the answer, where
    // it is one and not a profile.
    const line = { start: 0, step: 10, count: 0, rows: [], rates: [], total: new Float64Array(0), covered: new Float64Array(0),
      lost: new Float64Array(0), before: null, ends: [0, 0], most: 0, metric: null, cursor: -1, anchor: -1, drag: null, isEarlier: false };

    // Processors that were busy, threads that waited, or events a second.
    function ratesOf({ rows, covered, period }) {
      const unit = i => asked.over === "metrics" || asked.type === "allocations" ? 1e9 : asked.type === "cpu" ? period[i] || largest(period) : 1;
      const total = new Float64Array(covered.length);
      const rates = Array.from({ length: Math.min(rows.length, namedRows + 1) }, () => new Float64Array(covered.length));
      rows.forEach(({ sums }, r) => {
        const rate = rates[Math.min(r, namedRows)];
        for (let i = 0; i < covered.length; i++) {
          if (!(covered[i] > 0)) continue;
          const value = sums[i] / covered[i] * unit(i);
          rate[i] += value;
          total[i] += value;
        }
      });
      return { rates, total };
    }
    const largest = numbers => numbers.reduce((most, number) => Math.max(most, number), 0);

    function setTimeline(timeline, before) {
      const { start, step, rows, covered, lost } = timeline, count = covered.length;
      const isNew = line.step !== step || line.start > start || line.start + line.step * line.count <= start;
      const moved = isNew ? 0 : Math.round((start - line.start) / step);
      const first = covered.findIndex(time => time > 0);
      Object.assign(line, { start, step, count, rows, covered: Float64Array.from(covered), lost: Float64Array.from(lost), ...ratesOf(timeline),
        before: before && ratesOf(before).total, ends: first < 0 ? [0, 0] : [first, covered.findLastIndex(time => time > 0) + 1] });
      line.most = Math.max(largest(line.total), line.before ? largest(line.before) : 0);
      // The cursor stays at its time.
      for (const place of ["cursor", "anchor"]) line[place] = isNew ? -1 : Math.max(-1, line[place] - moved);
      drawTimeline();
      showServices();
      showHistogram();
    }

    // Of some steps, between the first and the last that were measured: seconds that were not, and the events that were lost.
    function missingIn(first, end) {
      let time = 0, lost = 0;
      for (let i = Math.max(first, 0); i < Math.min(end, line.count); i++) {
        lost += line.lost[i];
        time += gapOf(i);
      }
      return { time, lost };
    }
    // The first and the last window are shorter than others; those at which a rate changed are a little longer or shorter.
    function gapOf(i) {
      const [first, end] = line.ends, gap = line.step - line.covered[i] / 1e9;
      const isAtEnd = line.covered[i] > 0 && (i === first || i === end - 1);
      return i >= first && i < end && !isAtEnd && gap > Math.max(1, line.step / 100) ? gap : 0;
    }

    const shownSteps = () => asked.at ? stepsOf(asked.at) : [0, line.count];
    const secondOf = i => line.start + i * line.step;
    const stepAt = second => (second - line.start) / line.step;
    const stepsOf = ([from, to]) => [Math.max(0, Math.floor(stepAt(from))), Math.min(line.count, Math.ceil(stepAt(to)))];

    let wanted = 0;
    const drawTimeline = () => { wanted ||= requestAnimationFrame(() => { wanted = 0; paintTimeline(); }); };

    function paintTimeline() {
      const width = canvas.clientWidth, ratio = devicePixelRatio || 1, colors = palettes[scheme()], { count } = line;
      if (width === 0) return;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round((plotHeight + axisHeight) * ratio);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.fillStyle = colors.page;
      context.fillRect(0, 0, width, plotHeight + axisHeight);
      context.font = "11px system-ui, sans-serif";
      if (count === 0) return;
      const x = i => Math.round(i * width / count * ratio) / ratio;
      const scale = line.most > 0 ? (plotHeight - 14) / line.most : 0;
      const gaps = context.createPattern(gapPattern(colors.line), "repeat");
      for (let i = 0; i < count; i++) {
        const left = x(i), w = x(i + 1) - left;
        if (!(line.covered[i] > 0)) {
          context.fillStyle = gaps;
          context.fillRect(left, 14, w, plotHeight - 14);
          continue;
        }
        let bottom = plotHeight;
        if (!line.metric?.whole) line.rates.forEach((rate, r) => {
          const h = rate[i] * scale;
          if (h === 0) return;
          context.fillStyle = colors.series[r];
          context.fillRect(left, bottom - h, w, h);
          bottom -= h;
        });
        if (gapOf(i) > 0) {
          context.fillStyle = colors.text;
          context.fillRect(left, 14, Math.max(w, 2), 3);
        }
        if (line.lost[i] > 0) {
          context.fillStyle = colors.bad;
          context.fillRect(left, plotHeight - 3, w, 3);
        }
      }
      if (line.metric?.whole) paintLatency(width, colors, x);
      if (line.before) paintBefore(width, scale, colors);
      paintRanges(width, colors);
      paintAxis(width, colors, x);
      if (line.metric?.whole) paintValueScale(colors);
    }

    function paintBefore(width, scale, colors) {
      context.strokeStyle = colors.text;
      context.lineWidth = 1.5;
      context.setLineDash([4, 3]);
      context.beginPath();
      for (let i = 0; i < Math.min(line.count, line.before.length); i++) {
        for (const at of [i, i + 1]) context.lineTo(at / line.count * width, plotHeight - line.before[i] * scale);
      }
      context.stroke();
      context.setLineDash([]);
    }

    function gapPattern(color) {
      const tile = document.createElement("canvas");
      tile.width = tile.height = 8;
      const pen = tile.getContext("2d");
      pen.strokeStyle = color;
      pen.beginPath();
      for (const at of [-8, 0, 8]) { pen.moveTo(at, 8); pen.lineTo(at + 8, 0); }
      pen.stroke();
      return tile;
    }

    function paintAxis(width, colors, x) {
      context.fillStyle = colors.line;
      context.fillRect(0, plotHeight, width, 1);
      context.fillStyle = colors.quiet;
      context.textBaseline = "top";
      if (line.metric?.whole) paintQuantileNames(colors);
      else context.fillText(`most ${rateText(line.most)}${line.before ? "; dashed: before" : ""}`, 2, 0);
      const steps = [60, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400, 604800], length = line.count * line.step;
      const every = steps.find(step => length / step * 74 <= width) ?? 604800 * Math.ceil(length / 604800 * 74 / width);
      const offset = new Date(line.start * 1000).getTimezoneOffset() * 60;
      for (let second = Math.ceil((line.start - offset) / every) * every + offset; second < secondOf(line.count); second += every) {
        const at = x(stepAt(second)), text = every < 86400 ? shortClock.format(second * 1000) : day.format(second * 1000);
        context.fillStyle = colors.line;
        context.fillRect(at, plotHeight, 1, 4);
        context.fillStyle = colors.quiet;
        if (at + 34 < width) context.fillText(text, at + 3, plotHeight + 3);
      }
    }

    function paintRanges(width, colors) {
      const place = second => Math.max(-2, Math.min(width + 2, stepAt(second) / line.count * width));
      const chosen = line.isEarlier ? asked.at : line.drag ?? asked.at;
      const before = line.isEarlier ? line.drag ?? earlier() : earlier();
      if (chosen) {
        const [left, right] = chosen.map(place);
        context.fillStyle = `${colors.page}b8`;
        context.fillRect(0, 0, left, plotHeight);
        context.fillRect(right, 0, width - right, plotHeight);
        outline(left, right, colors.accent, []);
      }
      if (before && before[1] > line.start) {
        const [left, right] = before.map(place);
        outline(left, right, colors.text, [4, 3]);
        context.fillStyle = colors.text;
        context.fillText("before", Math.max(left, 0) + 4, 18);
      }
      if (document.activeElement === canvas && line.cursor >= 0) {
        const [left, right] = [line.cursor, line.cursor + 1].map(i => i * width / line.count);
        outline(left, Math.max(right, left + 3), colors.accent, []);
      }
    }

    function outline(left, right, color, dashes) {
      context.strokeStyle = color;
      context.lineWidth = 1.5;
      context.setLineDash(dashes);
      context.strokeRect(left, 1, Math.max(right - left, 1), plotHeight - 2);
      context.setLineDash([]);
    }

    function describeStep(i) {
      const when = rangeText([secondOf(i), secondOf(i + 1)]);
      if (!(line.covered[i] > 0)) return `${when}: not measured`;
      const gap = gapOf(i) > 0 ? ` · ${durationText(gapOf(i) * 1e9)} not measured` : "";
      const losses = gap + (line.lost[i] ? ` · ${rounded(line.lost[i])} lost` : "");
      if (line.metric?.whole) return `${when}: ${describeValues(i, i + 1)}${losses}`;
      const parts = line.rates.map((rate, r) => [r < namedRows ? rowName(line.rows[r]) : "others", rate[i]]).filter(([, rate]) => rate > 0)
        .sort((a, b) => b[1] - a[1]).slice(0, 4).map(([name, rate]) => `${name} ${rateText(rate)}`);
      return `${when}: ${rateText(line.total[i])}${parts.length ? ` · ${parts.join(", ")}` : ""}${losses}`;
    }
    const rowName = ({ value }) => value || `without ${line.metric?.by ?? asked.by}`;
    """#
}
