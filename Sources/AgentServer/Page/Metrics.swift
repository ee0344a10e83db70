extension Page {
  /// Metrics over time: rates, or where the values lie, with percentiles; and the histogram of the chosen time.
  static let metrics = #"""
    const quantiles = [["p50", 0.5], ["p90", 0.9], ["p99", 0.99]];
    const metricName = ({ name, unit }) => name.replace(/^swtrace_/, "").replace(unit ? `_${unit}` : "", "").replaceAll("_", " ");
    const valueText = seconds => line.metric.unit === "seconds" ? durationText(seconds * 1e9) : rounded(seconds);

    // Of the conditions those on labels that are there; a selector that is wrong stays as it is.
    const profileLabels = ["host", "service", "container", "pod", "comm"];
    function selectorOn(labels) {
      const conditions = conditionsOf(asked.match), kept = conditions.filter(({ name }) => labels.includes(name));
      return kept.length === conditions.length ? asked.match : kept.length ? `{${kept.map(({ whole }) => whole).join(",")}}` : "";
    }

    function offerMetrics({ metrics }) {
      const option = metric => element("option", { value: metric.name, textContent: metricName(metric), title: metric.help });
      const [some, none] = [true, false].map(isThere => metrics.filter(({ series }) => series.length > 0 === isThere).map(option));
      byId("metric").replaceChildren(...some, ...(none.length ? [element("optgroup", { label: "without values here" }, ...none)] : []));
      byId("metric").value = asked.metric;
    }

    async function loadMetrics() {
      const list = await ask("metrics", "/api/v1/metrics", { from: asked.from, to: asked.to });
      if (!list) return;
      offerMetrics(list);
      const metric = list.metrics.find(({ name }) => name === asked.metric) ?? list.metrics[0], match = selectorOn(metric.labels);
      const by = metric.labels.includes(asked.by) ? asked.by : metric.labels[1] ?? metric.labels[0];
      const what = { metric: metric.name, from: asked.from, to: asked.to, ...(match && { match }) };
      const [rows, whole] = await Promise.all([ask("metric rows", "/api/v1/metrics/range", { ...what, by }),
        metric.kind === "histogram" ? ask("metric", "/api/v1/metrics/range", what) : null]);
      if (!rows || asked.over !== "metrics") return;
      line.metric = { ...rows, whole: whole?.rows[0], bounds: whole?.bounds ?? [] };
      setTimeline({ ...rows, rows: rows.rows.map(row => ({ ...row, sums: row.count })) }, null);
      const about = match === asked.match ? "" : ` It has none of the labels ${conditionsOf(asked.match).map(({ name }) => name)
        .filter(name => !metric.labels.includes(name)).join(", ")}.`;
      byId("over-about").textContent = metric.help + about;
      offerBy(metric.labels, by);
      showMissing();
    }

    // How many values of a row lie in each bucket, in some steps.
    function bucketsIn(row, first, end) {
      const sums = new Float64Array(line.metric.bounds.length);
      for (let i = first; i < end; i++) row.buckets[i].forEach((count, b) => { sums[b] += count; });
      return sums;
    }
    // Between the bounds of its bucket as if values were spread evenly there, and not above the largest value; null without values.
    function quantileOf(buckets, share, most) {
      const { bounds } = line.metric, whole = buckets.reduce((sum, count) => sum + count, 0);
      let below = 0;
      for (let b = 0; b < buckets.length; b++) {
        if (buckets[b] > 0 && below + buckets[b] >= share * whole) {
          const low = b > 0 ? bounds[b - 1] : bounds[b] / 2;
          return Math.min(most, low + (bounds[b] - low) * (share * whole - below) / buckets[b]);
        }
        below += buckets[b];
      }
      return null;
    }
    const mostIn = (row, first, end) => row.max.slice(first, end).reduce((most, value) => Math.max(most, value ?? 0), 0);
    // Buckets of another answer begin elsewhere.
    const quantileTextOf = (row, first, end, share) => {
      const value = quantileOf(bucketsIn(row, first, end), share, mostIn(row, first, end));
      return value === null ? "" : valueText(value);
    };

    const octaveOf = value => Math.log2(value * 1e9);
    function paintLatency(width, colors, x) {
      const { whole, bounds } = line.metric, height = plotHeight - 14, count = bounds.length, first = Math.log2(bounds[0] * 1e9 + 1) - 1;
      const yOf = value => plotHeight - Math.max(0, Math.min(count, octaveOf(value) - first)) / count * height;
      let most = 0;
      for (let i = 0; i < line.count; i++) for (const n of whole.buckets[i]) most = Math.max(most, line.covered[i] > 0 ? n / line.covered[i] : 0);
      const colorOf = heatColors(heatStops[scheme()]);
      for (let i = 0; i < line.count; i++) {
        if (!(line.covered[i] > 0)) continue;
        whole.buckets[i].forEach((n, b) => {
          if (n === 0) return;
          context.fillStyle = `rgb(${colorOf(n / line.covered[i] / most).join(" ")})`;
          const top = Math.round(plotHeight - (b + 1) / count * height);
          context.fillRect(x(i), top, x(i + 1) - x(i), Math.round(plotHeight - b / count * height) - top);
        });
      }
      quantiles.forEach(([name], k) => {
        const values = whole[name];
        context.strokeStyle = colors.quantiles[k];
        context.lineWidth = 2;
        context.beginPath();
        for (let i = 0, isDown = false; i < line.count; i++) {
          if (values[i] === null) { isDown = false; continue; }
          for (const at of [i, i + 1]) { context[isDown ? "lineTo" : "moveTo"](x(at), yOf(values[i])); isDown = true; }
        }
        context.stroke();
      });
    }

    function paintValueScale(colors) {
      const { bounds } = line.metric, height = plotHeight - 14;
      context.textBaseline = "middle";
      for (let b = 0; b < bounds.length; b += Math.ceil(12 * bounds.length / height)) {
        const text = valueText((bounds[b] + 1e-9) / 2), y = plotHeight - Math.max(b / bounds.length * height, 6);
        context.fillStyle = `${colors.page}d0`;
        context.fillRect(0, y - 6, context.measureText(text).width + 4, 12);
        context.fillStyle = colors.text;
        context.fillText(text, 2, y);
      }
    }

    // Names of the lines, in their colors, where bars have their largest value.
    function paintQuantileNames(colors) {
      quantiles.forEach(([name], k) => {
        context.fillStyle = colors.quantiles[k];
        context.fillRect(2 + 48 * k, 5, 12, 3);
        context.fillStyle = colors.quiet;
        context.fillText(name, 18 + 48 * k, 0);
      });
    }

    // What a histogram says of some steps.
    function describeValues(first, end) {
      const { whole } = line.metric, isStep = end - first === 1;
      const count = whole.count.slice(first, end).reduce((sum, n) => sum + n, 0);
      if (count === 0) return "no values";
      const parts = quantiles.map(([name, share]) => `${name} ${isStep ? valueText(whole[name][first]) : `≈ ${quantileTextOf(whole, first, end, share)}`}`);
      return [...parts, `most ${valueText(mostIn(whole, first, end))}`, `${rounded(count)} values`].join(" · ");
    }

    function showHistogram() {
      const isShown = asked.over === "metrics" && Boolean(line.metric?.whole);
      byId("histogram").hidden = byId("quantiles").hidden = !isShown;
      if (!isShown) return;
      const [first, end] = shownSteps(), buckets = bucketsIn(line.metric.whole, first, end), text = describeValues(first, end);
      byId("quantiles").textContent = text;
      const histogram = byId("histogram"), pen = histogram.getContext("2d", { alpha: false }), colors = palettes[scheme()], ratio = devicePixelRatio || 1;
      const width = histogram.clientWidth, count = buckets.length, most = largest(buckets), step = width / Math.max(count, 1);
      histogram.ariaLabel = `Histogram of the values in the chosen time: ${text}`;
      histogram.width = Math.round(width * ratio);
      histogram.height = Math.round((plotHeight + axisHeight) * ratio);
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.fillStyle = colors.page;
      pen.fillRect(0, 0, width, plotHeight + axisHeight);
      pen.fillStyle = colors.accent;
      buckets.forEach((n, b) => {
        const h = most > 0 ? Math.max(n / most * (plotHeight - 14), n > 0 ? 1 : 0) : 0;
        pen.fillRect(b * step, plotHeight - h, Math.max(step - 1, 1), h);
      });
      pen.fillStyle = colors.line;
      pen.fillRect(0, plotHeight, width, 1);
      pen.fillStyle = colors.quiet;
      pen.font = "11px system-ui, sans-serif";
      pen.textBaseline = "top";
      for (let b = 0; b < count; b += Math.max(1, Math.ceil(54 / step))) pen.fillText(valueText((line.metric.bounds[b] + 1e-9) / 2), b * step, plotHeight + 3);
      pen.fillText(`most ${rounded(most)}`, 2, 0);
    }
    byId("metric").addEventListener("change", () => { asked.metric = byId("metric").value; changed(); });
    """#
}
