extension FlameGraph.Page {
  /// What is shown, and the canvas that shows it.
  static let drawing = #"""
    // Everything that the picture depends on. zoom, search, orientation and theme are also the page's address.
    const state = { zoom: 0, search: "", orientation: profile.orientation, theme: "", selected: -1, hovered: -1, matched: null };

    const view = byId("view"), content = byId("content"), canvas = byId("graph");
    const context = canvas.getContext("2d", { alpha: false });
    const rowHeight = 18, leastWidth = 0.5, inset = 4;
    const font = '12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';
    const schemes = {
      light: { page: "#ffffff", text: "#16181d", small: "#c3c8d1", match: "#c2185b", matchText: "#ffffff", hover: "#16181d", selected: "#0b57d0" },
      dark: { page: "#16181d", text: "#eceff4", small: "#434a57", match: "#f06292", matchText: "#16181d", hover: "#eceff4", selected: "#8ab4f8" },
    };
    // Every frame color mixed with the page's, for what steps back: mixed once, not by opacity for each frame.
    const faintFills = Object.fromEntries(Object.entries(schemes).map(([name, { page }]) => {
      const channels = color => [1, 3, 5].map(at => parseInt(color.slice(at, at + 2), 16));
      const paper = channels(page);
      return [name, profile.colors[name].map(color =>
        `#${channels(color).map((value, k) => Math.round(value * 0.4 + paper[k] * 0.6).toString(16).padStart(2, "0")).join("")}`)];
    }));
    const prefersDark = matchMedia("(prefers-color-scheme: dark)");
    const scheme = () => state.theme || (prefersDark.matches ? "dark" : "light");

    let width = 0, height = 0, lastRow = 0, characterWidth = 7.2, wanted = 0;

    context.font = font;
    characterWidth = context.measureText("m".repeat(100)).width / 100;

    function draw() {
      wanted ||= requestAnimationFrame(() => { wanted = 0; paint(); });
    }

    // Where a depth's row is on the canvas.
    function rowTop(depth) {
      const y = state.orientation === "icicle" ? depth * rowHeight : contentHeight() - (depth + 1) * rowHeight;
      return y - view.scrollTop;
    }
    const contentHeight = () => Math.max((lastRow + 1) * rowHeight, height);

    const leftOf = node => (tree.start[node] - tree.start[state.zoom]) / tree.total[state.zoom] * width;
    const widthOf = node => tree.total[node] / tree.total[state.zoom] * width;
    const isCaller = node => node <= state.zoom && tree.end[node] >= tree.end[state.zoom];

    function measure() {
      const ratio = devicePixelRatio || 1;
      width = view.clientWidth;
      height = view.clientHeight;
      canvas.style.height = `${height}px`;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
      context.font = font;
      context.textBaseline = "middle";
      arrange();
    }

    // The height of what the zoom shows.
    function arrange() {
      lastRow = deepestIn(state.zoom);
      content.style.height = `${contentHeight()}px`;
      draw();
    }

    function paint() {
      const colors = schemes[scheme()], fills = profile.colors[scheme()], faint = faintFills[scheme()];
      context.fillStyle = colors.page;
      context.fillRect(0, 0, width, height);
      if (!(tree.total[0] > 0)) {
        context.fillStyle = colors.text;
        context.fillText("Nothing was measured.", 12, 20);
        return;
      }
      const callers = callersOf(state.zoom);
      for (let depth = 0; depth <= lastRow; depth++) {
        const y = rowTop(depth);
        if (y > height || y + rowHeight < 0) continue;
        if (depth < callers.length) {
          box(callers[depth], 0, width, y, colors, fills, faint);
        } else {
          paintRow(tree.rows[depth], y, colors, fills, faint);
        }
      }
      for (const [node, color, line] of [[state.hovered, colors.hover, 1], [state.selected, colors.selected, 2.5]]) {
        if (node >= 0) outline(node, color, line);
      }
    }

    // Frames too narrow to see are drawn together, as what they are: more than can be shown here. What a search found among them
    // keeps its share of the width.
    function paintRow(row, y, colors, fills, faint) {
      const { start, total, fn } = tree, { matched } = state;
      const scale = width / total[state.zoom], origin = start[state.zoom];
      const last = lowerBound(row, tree.end[state.zoom]);
      let left = 0, right = -1, firstMatch = 0, matchedWidth = 0;
      const flush = () => {
        if (right - left >= leastWidth) {
          context.fillStyle = colors.small;
          context.fillRect(left, y, right - left, rowHeight - 1);
          if (matchedWidth > 0) {
            context.fillStyle = colors.match;
            context.fillRect(firstMatch, y, Math.max(matchedWidth, leastWidth), rowHeight - 1);
          }
        }
        right = -1;
        matchedWidth = 0;
      };
      for (let k = lowerBound(row, state.zoom + 1); k < last; k++) {
        const node = row[k], x = (start[node] - origin) * scale, w = total[node] * scale;
        if (w >= leastWidth) {
          if (right >= 0) flush();
          box(node, x, w, y, colors, fills, faint);
          continue;
        }
        if (right >= 0 && (x - right > leastWidth || (matched !== null && right - left > 3))) flush();
        if (right < 0) left = x;
        right = x + w;
        if (matched !== null && matched[fn[node]] === 1) {
          if (matchedWidth === 0) firstMatch = x;
          matchedWidth += w;
        }
      }
      if (right >= 0) flush();
    }

    function box(node, x, w, y, colors, fills, faint) {
      const fn = tree.fn[node];
      const isMatched = state.matched !== null && state.matched[fn] === 1;
      // Callers of the zoomed frame step back, and so does all that a search did not find.
      const isFaint = !isMatched && (state.matched !== null || node < state.zoom);
      context.fillStyle = isMatched ? colors.match : (isFaint ? faint : fills)[functions.color[fn]];
      context.fillRect(x, y, w > 2 ? w - 0.75 : w, rowHeight - 1);
      const columns = Math.floor((w - 2 * inset) / characterWidth);
      if (columns < 3) return;
      context.fillStyle = isMatched ? colors.matchText : colors.text;
      context.fillText(cut(strings[functions.name[fn]], columns), x + inset, y + rowHeight / 2);
    }

    // As much of a name as fits, with an ellipsis.
    function cut(name, columns) {
      // Two columns each is the most that other characters take in a monospaced font.
      if (/^[\x20-\x7e]*$/.test(name)) return name.length <= columns ? name : `${name.slice(0, columns - 1)}…`;
      const room = columns * characterWidth;
      if (name.length <= columns && context.measureText(name).width <= room) return name;
      const characters = Array.from(name.slice(0, 2 * columns)).slice(0, columns);
      while (characters.length && context.measureText(characters.join("") + "…").width > room) characters.pop();
      return `${characters.join("")}…`;
    }

    function outline(node, color, line) {
      const caller = isCaller(node);
      const x = caller ? 0 : leftOf(node), w = caller ? width : Math.max(widthOf(node), 2);
      context.strokeStyle = color;
      context.lineWidth = line;
      context.strokeRect(x + line / 2, rowTop(tree.depth[node]) + line / 2, Math.max(w - line - 0.75, 1), rowHeight - 1 - line);
    }

    // The node under a point of the canvas; -1 for none.
    function nodeAtPoint(x, y) {
      const fromTop = y + view.scrollTop;
      const depth = Math.floor((state.orientation === "icicle" ? fromTop : contentHeight() - fromTop) / rowHeight);
      if (depth < 0 || depth > lastRow) return -1;
      if (depth <= tree.depth[state.zoom]) return callersOf(state.zoom)[depth];
      const value = tree.start[state.zoom] + x / width * tree.total[state.zoom];
      return nodeAt(tree.rows[depth], state.zoom + 1, tree.end[state.zoom], value);
    }

    // Scrolls so that a node's row is to be seen.
    function reveal(node) {
      const y = rowTop(tree.depth[node]);
      if (y < rowHeight) view.scrollTop += y - rowHeight;
      else if (y > height - 2 * rowHeight) view.scrollTop += y - height + 2 * rowHeight;
    }

    const scrollToRoot = () => { view.scrollTop = state.orientation === "icicle" ? 0 : content.offsetHeight; };
    """#
}
