extension FlameGraph.Page {
  /// One function between all who called it and all that it called.
  static let sandwich = #"""
    const main = makeGraph(byId("view"), () => state.orientation);
    const callersGraph = makeGraph(byId("callers"), () => "flame"), calleesGraph = makeGraph(byId("callees"), () => "icicle");
    // Those that are to be seen; the first is the one that the search goes to.
    let graphs = [main];
    function drawAll() {
      for (const graph of graphs) graph.draw();
    }

    // The outermost calls of a function: those within another are part of its callees.
    function callsOf(fn) {
      const calls = [];
      for (let i = 0; i < tree.count;) {
        if (tree.fn[i] === fn) { calls.push(i); i = tree.end[i]; } else i++;
      }
      return calls;
    }

    // A tree under construction, with children found by function.
    function makeDraft(fn) {
      const fns = [fn], parents = [-1], byKey = new Map(), selves = tree.weights.map(() => [0]);
      return {
        under(parent, fn) {
          const key = parent * functions.name.length + fn, known = byKey.get(key);
          if (known !== undefined) return known;
          byKey.set(key, fns.length);
          for (const self of selves) self.push(0);
          parents.push(parent);
          return fns.push(fn) - 1;
        },
        add(at, weightOf) { selves.forEach((self, c) => { self[at] += weightOf(tree.weights[c]); }); },
        // Depth first, the dearest callees first.
        tree() {
          const totals = selves[0].slice(), all = selves.map(self => self.slice());
          const children = fns.map(() => []);
          for (let i = fns.length - 1; i > 0; i--) totals[parents[i]] += totals[i];
          for (let i = 1; i < fns.length; i++) children[parents[i]].push(i);
          const order = [], depths = [], open = [[0, 0]];
          while (open.length) {
            const [i, depth] = open.pop();
            order.push(i);
            depths.push(depth);
            for (const child of children[i].sort((a, b) => totals[a] - totals[b])) open.push([child, depth + 1]);
          }
          const made = makeTree(depths, order.map(i => fns[i]));
          made.weights.forEach(({ self }, c) => order.forEach((i, place) => { self[place] = all[c][i]; }));
          weigh(made, state.basis);
          return made;
        },
      };
    }

    function calleesTree(fn, calls) {
      const draft = makeDraft(fn), place = new Int32Array(tree.count);
      for (const call of calls) {
        place[call] = 0;
        draft.add(0, ({ self }) => self[call]);
        for (let i = call + 1; i < tree.end[call];) {
          if (tree.weights.every(({ total }) => total[i] === 0)) { i = tree.end[i]; continue; }
          place[i] = draft.under(place[tree.parent[i]], tree.fn[i]);
          draft.add(place[i], ({ self }) => self[i]);
          i++;
        }
      }
      return draft.tree();
    }

    // Each caller stands above what it calls, so a call's whole value is the outermost caller's own.
    function callersTree(fn, calls) {
      const draft = makeDraft(fn);
      for (const call of calls) {
        let at = 0;
        for (let i = tree.parent[call]; i > 0; i = tree.parent[i]) at = draft.under(at, tree.fn[i]);
        draft.add(at, ({ total }) => total[call]);
      }
      return draft.tree();
    }

    function fillSandwich() {
      if (state.center < 0) return;
      const fn = state.center, calls = callsOf(fn), callees = calleesTree(fn, calls), whole = tree.total[0];
      callersGraph.setTree(callersTree(fn, calls));
      calleesGraph.setTree(callees);
      byId("center-name").textContent = textOf(fn);
      // With what it cost within itself, which is among the callees.
      const self = tree.self.reduce((sum, value, i) => tree.fn[i] === fn ? sum + value : sum, 0);
      byId("center-amounts").textContent =
        [originOf(fn), `self ${amount(self, whole)}`, `total ${amount(callees.total[0], whole)}`].filter(Boolean).join(" · ");
      callersGraph.canvas.ariaLabel = `Callers of ${textOf(fn)}`;
      calleesGraph.canvas.ariaLabel = `Callees of ${textOf(fn)}`;
    }

    // Shows the sandwich of a function, or the whole graph for -1.
    function setCenter(fn) {
      state.center = fn;
      const isSandwich = fn >= 0;
      graphs = isSandwich ? [calleesGraph, callersGraph] : [main];
      byId("view").hidden = path.hidden = isSandwich;
      byId("sandwich").hidden = !isSandwich;
      byId("show-flame").setAttribute("aria-pressed", !isSandwich);
      byId("show-sandwich").setAttribute("aria-pressed", isSandwich);
      tooltip.hidden = true;
      for (const graph of graphs) graph.measure();
      fillSandwich();
      showStatus();
      drawAll();
    }

    function showSandwich(fn) {
      // Of nothing chosen, the dearest function.
      const center = fn >= 0 ? fn : list.shown[0] ?? list.present[0] ?? -1;
      if (center < 0) return;
      chooseFunction(center);
      setCenter(center);
      say(`Sandwich of ${textOf(center)}, ${byId("center-amounts").textContent}`);
      keepState(true);
    }
    function showFlame() {
      setCenter(-1);
      keepState(true);
    }

    makeInteractive(main, node => { if (node !== main.zoom) zoomTo(node); }, () => {
      if (main.zoom === 0) return;
      select(main, tree.parent[main.zoom]);
      zoomTo(tree.parent[main.zoom]);
    });
    for (const graph of [callersGraph, calleesGraph]) {
      makeInteractive(graph, node => { if (node > 0) showSandwich(graph.tree.fn[node]); }, () => history.back());
    }
    byId("show-flame").addEventListener("click", showFlame);
    byId("show-sandwich").addEventListener("click", () => showSandwich(state.fn));
    """#
}
