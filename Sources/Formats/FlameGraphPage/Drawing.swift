extension FlameGraph.Page {
  /// A tree on a canvas.
  static let drawing = #"""
    // What the pictures depend on besides the profile and the filters. Most of it is also the page's address.
    const state = {
      search: "", matched: null, orientation: profile.orientation, theme: "", colors: "kind", basis: 0, table: true, fn: -1, center: -1, time: null,
    };
    const rowHeight = 18, leastWidth = 0.5, inset = 4;
    const font = '12px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace';

    // A graph in an element with the classes view, content and graph: it draws its tree from `zoom` on, with the callers of that.
    function makeGraph(view, orientation) {
      const content = view.querySelector(".content"), canvas = view.querySelector("canvas");
      const context = canvas.getContext("2d", { alpha: false });
      const graph = { tree: null, zoom: 0, selected: -1, hovered: -1, pointer: null, view, canvas, orientation };
      let width = 0, height = 0, ratio = 0, lastRow = 0, characterWidth = 7.2, wanted = 0, callers = [];

      graph.draw = () => { if (graph.tree) wanted ||= requestAnimationFrame(() => { wanted = 0; paint(); }); };

      // Where a depth's row is on the canvas.
      const contentHeight = () => Math.max((lastRow + 1) * rowHeight, height);
      const rowTop = depth =>
        (orientation() === "icicle" ? depth * rowHeight : contentHeight() - (depth + 1) * rowHeight) - view.scrollTop;

      const leftOf = node => (graph.tree.start[node] - graph.tree.start[graph.zoom]) / graph.tree.total[graph.zoom] * width;
      const widthOf = node => graph.tree.total[node] / graph.tree.total[graph.zoom] * width;
      graph.isCaller = node => node <= graph.zoom && graph.tree.end[node] >= graph.tree.end[graph.zoom];
      graph.isVisible = node => node >= 0 && (graph.isCaller(node)
        || (node > graph.zoom && node < graph.tree.end[graph.zoom] && widthOf(node) >= leastWidth));

      // Follows the element's size; the canvas has as many pixels as the screen.
      graph.measure = () => {
        const size = [view.clientWidth, view.clientHeight, devicePixelRatio || 1];
        if (size[0] === 0 || (size[0] === width && size[1] === height && size[2] === ratio)) return;
        const fromRoot = content.offsetHeight - view.scrollTop - height, isFirst = height === 0;
        [width, height, ratio] = size;
        canvas.style.height = `${height}px`;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        context.setTransform(canvas.width / width, 0, 0, canvas.height / height, 0, 0);
        context.font = font;
        context.textBaseline = "middle";
        characterWidth = context.measureText("m".repeat(100)).width / 100;
        graph.arrange();
        if (orientation() === "flame") view.scrollTop = isFirst ? content.offsetHeight : content.offsetHeight - fromRoot - height;
      };

      // The height of what the zoom shows.
      graph.arrange = () => {
        if (!graph.tree || height === 0) return;
        lastRow = deepestIn(graph.tree, graph.zoom);
        callers = callersOf(graph.tree, graph.zoom);
        content.style.height = `${contentHeight()}px`;
        graph.draw();
      };

      graph.setTree = tree => {
        Object.assign(graph, { tree, zoom: 0, selected: -1, hovered: -1 });
        graph.arrange();
        graph.scrollToRoot();
      };

      function paint() {
        const colors = schemes[scheme()];
        context.fillStyle = colors.page;
        context.fillRect(0, 0, width, height);
        if (!(graph.tree.total[0] > 0)) {
          context.fillStyle = colors.text;
          context.fillText(isFiltered() ? "Nothing passes the filters." : "Nothing was measured.", 12, 20);
          return;
        }
        const brush = { colors, fills: fills[scheme()], faint: faintFills[scheme()], colorOf: colorings[state.colors](graph.tree) };
        for (let depth = 0; depth <= lastRow; depth++) {
          const y = rowTop(depth);
          if (y > height || y + rowHeight < 0) continue;
          if (depth < callers.length) box(callers[depth], 0, width, y, brush); else paintRow(graph.tree.rows[depth], y, brush);
        }
        for (const [node, color, line] of [[graph.hovered, colors.hover, 1], [graph.selected, colors.selected, 2.5]]) {
          if (node >= 0 && graph.isVisible(node)) outline(node, color, line);
        }
      }

      // Frames too narrow to see are drawn together, as what they are: more than can be shown here. What a search found among them
      // keeps its share of the width. So a row has at most two rectangles for each pixel, however many frames it has.
      function paintRow(row, y, brush) {
        const { start, total, fn, end } = graph.tree, { matched } = state, { colors } = brush;
        const scale = width / total[graph.zoom], origin = start[graph.zoom];
        const last = lowerBound(row, end[graph.zoom]);
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
        for (let k = lowerBound(row, graph.zoom + 1); k < last; k++) {
          const node = row[k], w = total[node] * scale;
          if (w === 0) continue;
          const x = (start[node] - origin) * scale;
          if (w >= leastWidth) {
            if (right >= 0) flush();
            box(node, x, w, y, brush);
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

      function box(node, x, w, y, { colors, fills, faint, colorOf }) {
        const fn = graph.tree.fn[node];
        const isMatched = state.matched !== null && state.matched[fn] === 1;
        // Callers of the zoomed frame step back, and so does all that a search did not find.
        const isFaint = !isMatched && (state.matched !== null || node < graph.zoom);
        context.fillStyle = isMatched ? colors.match : (isFaint ? faint : fills)[colorOf(node)];
        context.fillRect(x, y, w > 2 ? w - 0.75 : w, rowHeight - 1);
        const columns = Math.floor((w - 2 * inset) / characterWidth);
        if (columns < 3) return;
        context.fillStyle = isMatched ? colors.matchText : colors.text;
        context.fillText(cut(textOf(fn), columns), x + inset, y + rowHeight / 2);
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
        const caller = graph.isCaller(node);
        const x = caller ? 0 : leftOf(node), w = caller ? width : Math.max(widthOf(node), 2);
        context.strokeStyle = color;
        context.lineWidth = line;
        context.strokeRect(x + line / 2, rowTop(graph.tree.depth[node]) + line / 2, Math.max(w - line - 0.75, 1), rowHeight - 1 - line);
      }

      // The node under a point of the canvas; -1 for none.
      graph.nodeAtPoint = (x, y) => {
        const fromTop = y + view.scrollTop;
        const depth = Math.floor((orientation() === "icicle" ? fromTop : contentHeight() - fromTop) / rowHeight);
        if (depth < 0 || depth > lastRow) return -1;
        if (depth < callers.length) return callers[depth];
        const { tree, zoom } = graph;
        return nodeAt(tree, tree.rows[depth], zoom + 1, tree.end[zoom], tree.start[zoom] + x / width * tree.total[zoom]);
      };

      // Scrolls so that a node's row is to be seen.
      graph.reveal = node => {
        const y = rowTop(graph.tree.depth[node]);
        if (y < rowHeight) view.scrollTop += y - rowHeight;
        else if (y > height - 2 * rowHeight) view.scrollTop += y - height + 2 * rowHeight;
      };
      graph.fromRoot = () => orientation() === "icicle" ? view.scrollTop : content.offsetHeight - height - view.scrollTop;
      graph.scrollFromRoot = distance => { view.scrollTop = orientation() === "icicle" ? distance : content.offsetHeight - height - distance; };
      graph.scrollToRoot = () => { view.scrollTop = orientation() === "icicle" ? 0 : content.offsetHeight; };
      return graph;
    }
    """#
}
