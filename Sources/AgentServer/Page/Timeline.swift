extension Page {
  /// What was measured over time, by service, on a canvas.
  static let timeline = #"""
    const canvas = byId("timeline"), context = canvas.getContext("2d", { alpha: false });
    const palettes = {
      light: { page: "#ffffff", text: "#16181d", quiet: "#565d6b", line: "#d6dae1", accent: "#0b57d0", bad: "#b3261e",
        series: ["#4c78b8", "#e08a3c", "#4f9d69", "#b55a9d", "#c9a227", "#5aa7b5", "#8d6bb1", "#a3a9b5"] },
      dark: { page: "#16181d", text: "#eceff4", quiet: "#a4acba", line: "#343944", accent: "#8ab4f8", bad: "#f2b8b5",
        series: ["#6f9ad8", "#e6a567", "#6fbd89", "#cf82ba", "#d9bb55", "#7cc4d1", "#a98bcc", "#6a7180"] },
    };
    const axisHeight = 16, plotHeight = 132 - axisHeight, namedRows = 7;
    // Typed arrays by step: the rate of each named row, of the others, and of all. A step that was not measured has no rate.
    const line = { start: 0, step: 10, count: 0, rows: [], rates: [], total: new Float64Array(0), covered: new Float64Array(0),
      lost: new Float64Array(0), most: 0, cursor: -1, anchor: -1, drag: null };

    function setTimeline({ start, step, rows, covered, lost }) {
      const count = covered.length, isNew = line.start !== start || line.step !== step;
      Object.assign(line, { start, step, count, rows, covered: Float64Array.from(covered), lost: Float64Array.from(lost) });
      line.total = new Float64Array(count);
      line.rates = Array.from({ length: Math.min(rows.length, namedRows + 1) }, () => new Float64Array(count));
      rows.forEach(({ sums }, r) => {
        const rate = line.rates[Math.min(r, namedRows)];
        for (let i = 0; i < count; i++) {
          if (!(line.covered[i] > 0)) continue;
          const value = sums[i] / line.covered[i] * 1e9;
          rate[i] += value;
          line.total[i] += value;
        }
      });
      line.most = line.total.reduce((most, rate) => Math.max(most, rate), 0);
      if (isNew) line.cursor = line.anchor = -1;
      drawTimeline();
      showServices();
    }

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
        line.rates.forEach((rate, r) => {
          const h = rate[i] * scale;
          if (h === 0) return;
          context.fillStyle = colors.series[r];
          context.fillRect(left, bottom - h, w, h);
          bottom -= h;
        });
        if (line.lost[i] > 0) {
          context.fillStyle = colors.bad;
          context.fillRect(left, plotHeight - 3, w, 3);
        }
      }
      paintAxis(width, colors, x);
      paintRanges(width, colors);
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
      context.fillText(`most ${rateText(line.most)}`, 2, 0);
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
      const chosen = line.drag ?? asked.at;
      if (chosen) {
        const [left, right] = chosen.map(place);
        context.fillStyle = `${colors.page}b8`;
        context.fillRect(0, 0, left, plotHeight);
        context.fillRect(right, 0, width - right, plotHeight);
        outline(left, right, colors.accent, []);
      }
      if (asked.before) {
        const [left, right] = asked.before.map(place);
        outline(left, right, colors.text, [4, 3]);
        context.fillStyle = colors.text;
        context.fillText("before", Math.max(left, 0) + 4, 14);
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
      const parts = line.rates.map((rate, r) => [r < namedRows ? rowName(line.rows[r]) : "others", rate[i]]).filter(([, rate]) => rate > 0)
        .sort((a, b) => b[1] - a[1]).slice(0, 4).map(([name, rate]) => `${name} ${rateText(rate)}`);
      return `${when}: ${rateText(line.total[i])}${parts.length ? ` · ${parts.join(", ")}` : ""}${line.lost[i] ? ` · ${rounded(line.lost[i])} lost` : ""}`;
    }
    const rowName = ({ value }) => value || `without ${asked.by}`;

    function choose(range) {
      line.drag = null;
      asked.at = range;
      say(range ? `Chosen: ${rangeText(range)}` : "All of the time");
      changed();
    }
    const chooseSteps = (a, b) => choose([secondOf(Math.min(a, b)), secondOf(Math.max(a, b) + 1)]);

    const stepUnder = event => {
      const { left, width } = canvas.getBoundingClientRect();
      return Math.max(0, Math.min(line.count - 1, Math.floor((event.clientX - left) / width * line.count)));
    };
    canvas.addEventListener("pointerdown", event => {
      if (event.button !== 0 || line.count === 0) return;
      canvas.setPointerCapture(event.pointerId);
      line.cursor = line.anchor = stepUnder(event);
    });
    canvas.addEventListener("pointermove", event => {
      if (line.count === 0) return;
      const i = stepUnder(event);
      if (canvas.hasPointerCapture(event.pointerId)) {
        line.cursor = i;
        line.drag = [secondOf(Math.min(i, line.anchor)), secondOf(Math.max(i, line.anchor) + 1)];
        drawTimeline();
      }
      byId("timeline-about").textContent = line.drag ? rangeText(line.drag) : describeStep(i);
    });
    canvas.addEventListener("pointerup", event => {
      if (canvas.hasPointerCapture(event.pointerId) && line.count) chooseSteps(line.anchor, stepUnder(event));
    });
    canvas.addEventListener("pointercancel", () => { line.drag = null; drawTimeline(); });
    canvas.addEventListener("pointerleave", () => { byId("timeline-about").textContent = ""; });
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, drawTimeline);

    // Shows another span of time: none of it lies in the future.
    function showSpan(from, to) {
      const length = Math.max(to - from, 60), end = Math.min(from + length, now());
      Object.assign(asked, { from: String(Math.max(0, end - length)), to: String(end), live: false });
      changed();
    }

    canvas.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey || line.count === 0) return;
      const move = by => {
        const isFirst = line.cursor < 0;
        line.cursor = isFirst ? line.count - 1 : Math.max(0, Math.min(line.count - 1, line.cursor + by));
        if (event.shiftKey && !isFirst) return chooseSteps(line.anchor, line.cursor);
        line.anchor = line.cursor;
        byId("timeline-about").textContent = describeStep(line.cursor);
        say(describeStep(line.cursor));
        drawTimeline();
      };
      const [from, to] = span(), length = to - from;
      const keys = {
        ArrowLeft: () => move(-1), ArrowRight: () => move(1), PageUp: () => move(-10), PageDown: () => move(10),
        Home: () => move(-line.count), End: () => move(line.count), Enter: () => chooseSteps(Math.max(line.cursor, 0), Math.max(line.cursor, 0)),
        " ": () => chooseSteps(Math.max(line.cursor, 0), Math.max(line.cursor, 0)), Backspace: () => choose(null), Delete: () => choose(null),
        "+": () => { if (asked.at) showSpan(...asked.at); }, "-": () => showSpan(from - length / 2 | 0, to + length / 2 | 0),
        ",": () => showSpan(from - length / 2 | 0, to - length / 2 | 0), ".": () => showSpan(from + length / 2 | 0, to + length / 2 | 0),
      };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });
    new ResizeObserver(drawTimeline).observe(canvas);
    new MutationObserver(() => { drawTimeline(); showServices(); }).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    prefersDark.addEventListener("change", () => { drawTimeline(); showServices(); });
    """#
}
