extension Page {
  /// Choosing in the timeline, by pointer and by keys.
  static let choosing = #"""
    function choose(range, isEarlier = false) {
      line.drag = null;
      line.isEarlier = false;
      asked[isEarlier ? "before" : "at"] = range;
      say(isEarlier ? `Compared with ${rangeText(range)}` : range ? `Chosen: ${rangeText(range)}` : "All of the time");
      changed();
    }
    const rangeOfSteps = (a, b) => [secondOf(Math.min(a, b)), secondOf(Math.max(a, b) + 1)];
    const chooseSteps = (a, b, isEarlier) => choose(rangeOfSteps(a, b), isEarlier);

    const stepUnder = event => {
      const { left, width } = canvas.getBoundingClientRect();
      return Math.max(0, Math.min(line.count - 1, Math.floor((event.clientX - left) / width * line.count)));
    };
    canvas.addEventListener("pointerdown", event => {
      if (event.button !== 0 || line.count === 0) return;
      canvas.setPointerCapture(event.pointerId);
      line.cursor = line.anchor = stepUnder(event);
      line.isEarlier = event.shiftKey;
    });
    canvas.addEventListener("pointermove", event => {
      if (line.count === 0) return;
      const i = stepUnder(event);
      if (canvas.hasPointerCapture(event.pointerId)) {
        line.cursor = i;
        line.drag = rangeOfSteps(i, line.anchor);
        drawTimeline();
      }
      byId("timeline-about").textContent = line.drag ? rangeText(line.drag) : describeStep(i);
    });
    canvas.addEventListener("pointerup", event => {
      if (canvas.hasPointerCapture(event.pointerId) && line.count) chooseSteps(line.anchor, stepUnder(event), line.isEarlier);
    });
    canvas.addEventListener("pointercancel", () => { line.drag = null; line.isEarlier = false; drawTimeline(); });
    canvas.addEventListener("pointerleave", () => { byId("timeline-about").textContent = ""; });
    for (const kind of ["focus", "blur"]) canvas.addEventListener(kind, drawTimeline);

    // Shows another span of time: none of it lies in the future.
    function showSpan(from, to) {
      const length = Math.max(to - from, 60), end = Math.min(from + length, now());
      Object.assign(asked, { from: String(Math.max(0, end - length)), to: String(end) });
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
    const redraw = () => { drawTimeline(); heatmap.paint(); showServices(); showHistogram(); };
    new ResizeObserver(redraw).observe(byId("timeline-part"));
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    prefersDark.addEventListener("change", redraw);
    """#
}
