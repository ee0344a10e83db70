extension FlameGraph.Page {
  /// Pointer and keyboard on a graph, and what is said about its frames.
  static let navigation = #"""
    const tooltip = byId("tooltip");
    const say = text => { byId("live").textContent = text; };

    // The lines that describe a frame; `within` is what its width is a share of, when that is not everything.
    function describe(graph, node) {
      const part = graph.tree, whole = tree.total[0];
      const lines = [`total ${amount(part.total[node], whole)}`];
      // What a caller cost itself is not part of the call that is asked about.
      if (graph !== callersGraph) lines.unshift(`self ${amount(part.self[node], whole)}`);
      if (isComparison) lines.push(describeChange(part, node));
      return lines;
    }

    function showStatus() {
      const graph = graphs.find(({ hovered }) => hovered >= 0) ?? graphs.find(({ selected }) => selected >= 0);
      if (!graph) {
        let count = -1;
        for (let i = 0; i < tree.count; i++) if (tree.total[i] > 0) count++;
        byId("status").textContent = `${quantity(tree.total[0])} in all, ${grouped(Math.max(count, 0), 0)} frames`;
        return;
      }
      const node = graph.hovered >= 0 ? graph.hovered : graph.selected, fn = graph.tree.fn[node], origin = originOf(fn);
      byId("status").textContent = [`${textOf(fn)}${origin && ` [${origin}]`}`, ...describe(graph, node)].join(" · ");
    }

    function showTooltip(graph, node, x, y) {
      tooltip.hidden = node < 0;
      if (node < 0) return;
      const fn = graph.tree.fn[node], zoom = graph === main && main.zoom > 0 && node > main.zoom ? main.zoom : -1;
      tooltip.replaceChildren(
        element("b", { textContent: textOf(fn) }), ...(originOf(fn) ? [element("span", { textContent: originOf(fn) })] : []),
        ...describe(graph, node).map(textContent => element("div", { textContent })),
        ...(zoom < 0 ? [] : [element("div", { textContent: `${percent(tree.total[node], tree.total[zoom])} of ${textOf(tree.fn[zoom])}` })]));
      const { width: w, height: h } = tooltip.getBoundingClientRect();
      tooltip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - w - 6))}px`;
      tooltip.style.top = `${y + 18 + h > innerHeight ? Math.max(4, y - h - 12) : y + 18}px`;
    }

    function hover(graph, node, x, y) {
      showTooltip(graph, node, x, y);
      if (node === graph.hovered) return;
      graph.hovered = node;
      showStatus();
      graph.draw();
    }

    function select(graph, node) {
      if (node < 0) return;
      for (const each of graphs) each.selected = each === graph ? node : -1;
      graph.reveal(node);
      const fn = graph.tree.fn[node], callees = calleesOf(graph.tree, node).length;
      chooseFunction(fn);
      say([textOf(fn), moduleOf(fn), kindOf(fn), ...describe(graph, node), `depth ${graph.tree.depth[node]}`,
        `${callees} ${callees === 1 ? "callee" : "callees"}`].filter(Boolean).join(", "));
      showStatus();
      drawAll();
      keepState(false);
    }

    // `activate` is what a click and Enter do with a frame; `back` is what Backspace does.
    function makeInteractive(graph, activate, back) {
      const { canvas, view } = graph;
      const nodeAtClient = (x, y) => {
        const { left, top } = canvas.getBoundingClientRect();
        return graph.nodeAtPoint(x - left, y - top);
      };
      graph.pointAt = (x, y) => {
        graph.pointer = [x, y];
        hover(graph, nodeAtClient(x, y), x, y);
      };
      canvas.addEventListener("pointermove", event => graph.pointAt(event.clientX, event.clientY));
      canvas.addEventListener("pointerleave", () => { graph.pointer = null; hover(graph, -1); });
      canvas.addEventListener("click", event => {
        const node = nodeAtClient(event.clientX, event.clientY);
        if (node < 0) return;
        select(graph, node);
        activate(node);
      });
      view.addEventListener("scroll", () => {
        if (graph.pointer && !tooltip.hidden) graph.pointAt(...graph.pointer); else hover(graph, -1);
        graph.draw();
      });
      canvas.addEventListener("keydown", event => {
        if (event.ctrlKey || event.metaKey || event.altKey) return;
        const node = graph.selected >= 0 && graph.isVisible(graph.selected) ? graph.selected : -1;
        const isIcicle = graph.orientation() === "icicle";
        const move = direction => select(graph, node < 0 ? graph.zoom : neighbor(graph, node, direction));
        const keys = {
          ArrowUp: () => move(isIcicle ? "caller" : "callee"), ArrowDown: () => move(isIcicle ? "callee" : "caller"),
          ArrowLeft: () => move("previous"), ArrowRight: () => move("next"), Home: () => select(graph, 0),
          Enter: () => { if (node >= 0) activate(node); }, " ": () => { if (node >= 0) activate(node); },
          Backspace: back, n: () => nextMatch(graph, false), N: () => nextMatch(graph, true),
        };
        if (!Object.hasOwn(keys, event.key)) return;
        event.preventDefault();
        keys[event.key]();
      });
      new ResizeObserver(() => graph.measure()).observe(view);
    }

    function neighbor(graph, node, direction) {
      const { tree: part, zoom } = graph;
      if (direction === "caller") return part.parent[node];
      if (direction === "callee") {
        if (node < zoom && graph.isCaller(node)) return callersOf(part, zoom)[part.depth[node] + 1];
        const callees = calleesOf(part, node).filter(graph.isVisible);
        return callees.length ? callees.reduce((widest, callee) => part.total[callee] > part.total[widest] ? callee : widest) : -1;
      }
      if (graph.isCaller(node)) return -1;
      const row = part.rows[part.depth[node]], step = direction === "next" ? 1 : -1;
      let k = lowerBound(row, node) + step;
      while (k >= 0 && k < row.length && row[k] > zoom && row[k] < part.end[zoom]) {
        if (graph.isVisible(row[k])) return row[k];
        k += step;
      }
      return -1;
    }

    function nextMatch(graph, isBackward) {
      if (state.matched === null) return;
      const from = graph.zoom, size = graph.tree.end[from] - from, step = isBackward ? size - 1 : 1;
      const at = Math.max(graph.isVisible(graph.selected) ? graph.selected : from, from) - from;
      for (let k = 1, i = at; k <= size; k++) {
        i = (i + step) % size;
        if (state.matched[graph.tree.fn[from + i]] && graph.isVisible(from + i)) return select(graph, from + i);
      }
    }
    """#
}
