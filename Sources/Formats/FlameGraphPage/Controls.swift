extension FlameGraph.Page {
  /// Pointer, keyboard, search, and the state in the page's address.
  static let controls = #"""
    const search = byId("search"), tooltip = byId("tooltip"), path = byId("path");

    function zoomTo(node, remember = true) {
      if (node < 0 || node >= tree.count || !(tree.total[node] > 0)) return;
      state.zoom = node;
      state.hovered = -1;
      tooltip.hidden = true;
      arrange();
      showPath();
      showMatched();
      scrollToRoot();
      reveal(node);
      if (remember) keepState(true);
    }

    function select(node) {
      if (node < 0) return;
      state.selected = node;
      reveal(node);
      showStatus();
      const callees = calleesOf(node).length;
      byId("live").textContent = [
        nameOf(node), moduleOf(node), kindOf(node), `self ${amount(tree.self[node], tree.total[0])}`,
        `total ${amount(tree.total[node], tree.total[0])}`, `depth ${tree.depth[node]}`, `${callees} ${callees === 1 ? "callee" : "callees"}`,
      ].filter(Boolean).join(", ");
      draw();
    }

    function setSearch(text, remember = true) {
      state.search = text;
      state.matched = null;
      search.removeAttribute("aria-invalid");
      if (search.value !== text) search.value = text;
      if (text !== "") {
        try { state.matched = matching(text); } catch { search.setAttribute("aria-invalid", "true"); }
      }
      showMatched();
      draw();
      if (remember) keepState(false);
    }

    function setOrientation(orientation) {
      state.orientation = orientation;
      byId("flip").textContent = orientation === "icicle" ? "Flame" : "Icicle";
      scrollToRoot();
      reveal(state.zoom);
      draw();
    }

    function setTheme(theme) {
      state.theme = theme;
      if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
      byId("theme").textContent = scheme() === "dark" ? "Light" : "Dark";
      showLegend();
      draw();
    }

    function reset() {
      setSearch("", false);
      state.selected = -1;
      byId("live").textContent = "Whole graph";
      zoomTo(0, false);
      keepState(true);
      showStatus();
    }

    const flip = () => { setOrientation(state.orientation === "icicle" ? "flame" : "icicle"); keepState(false); };
    const changeTheme = () => { setTheme(scheme() === "dark" ? "light" : "dark"); keepState(false); };

    // What is said beside the graph.

    function showMatched() {
      const output = byId("matched");
      const isBad = search.hasAttribute("aria-invalid");
      output.classList.toggle("bad", isBad);
      if (isBad || state.matched === null) {
        output.textContent = isBad ? "not a regular expression" : "";
        return;
      }
      let text = `${percent(matchedValue(state.matched, 0), tree.total[0])} matched`;
      if (state.zoom > 0) text += `, ${percent(matchedValue(state.matched, state.zoom), tree.total[state.zoom])} of zoomed`;
      output.textContent = text;
    }

    function showStatus() {
      const node = state.hovered >= 0 ? state.hovered : state.selected;
      if (node < 0) { byId("status").textContent = `${quantity(tree.total[0])} in all, ${grouped(tree.count - 1, 0)} frames`; return; }
      const origin = [moduleOf(node), kindOf(node)].filter(Boolean).join(", ");
      byId("status").textContent =
        `${nameOf(node)}${origin && ` [${origin}]`} · self ${amount(tree.self[node], tree.total[0])} · total ${amount(tree.total[node], tree.total[0])}`;
    }

    function showPath() {
      const callers = callersOf(state.zoom);
      const shown = callers.length > 8 ? [callers[0], -1, ...callers.slice(-6)] : callers;
      path.replaceChildren();
      for (const node of shown) {
        if (path.childNodes.length) path.append(Object.assign(document.createElement("span"), { textContent: "›" }));
        if (node < 0) { path.append(Object.assign(document.createElement("span"), { textContent: `… ${callers.length - 7} more …` })); continue; }
        const button = Object.assign(document.createElement("button"), { type: "button", textContent: nameOf(node), title: nameOf(node) });
        if (node === state.zoom) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => { zoomTo(node); canvas.focus(); });
        path.append(button);
      }
    }

    function showLegend() {
      const present = new Set(functions.kind);
      const legend = byId("legend");
      legend.replaceChildren();
      profile.kinds.forEach((label, kind) => {
        if (!label || !present.has(kind)) return;
        const mark = document.createElement("i");
        mark.style.background = profile.colors[scheme()][profile.legend[kind]];
        legend.append(mark, label);
      });
    }

    function showTooltip(node, x, y) {
      tooltip.hidden = node < 0;
      if (node < 0) return;
      const line = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
      const origin = [moduleOf(node), kindOf(node)].filter(Boolean).join(", ");
      tooltip.replaceChildren(
        line("b", nameOf(node)), ...(origin ? [line("span", origin)] : []),
        line("div", `self ${amount(tree.self[node], tree.total[0])}`), line("div", `total ${amount(tree.total[node], tree.total[0])}`),
        ...(state.zoom > 0 && node > state.zoom ? [line("div", `${percent(tree.total[node], tree.total[state.zoom])} of ${nameOf(state.zoom)}`)] : []));
      const { width: w, height: h } = tooltip.getBoundingClientRect();
      tooltip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - w - 6))}px`;
      tooltip.style.top = `${y + 18 + h > innerHeight ? Math.max(4, y - h - 12) : y + 18}px`;
    }

    // Pointer.

    function point(event) {
      const { left, top } = canvas.getBoundingClientRect();
      return nodeAtPoint(event.clientX - left, event.clientY - top);
    }
    function hover(node, x, y) {
      showTooltip(node, x, y);
      if (node === state.hovered) return;
      state.hovered = node;
      showStatus();
      draw();
    }
    canvas.addEventListener("pointermove", event => hover(point(event), event.clientX, event.clientY));
    canvas.addEventListener("pointerleave", () => hover(-1));
    canvas.addEventListener("click", event => {
      const node = point(event);
      if (node < 0) return;
      select(node);
      if (node !== state.zoom) zoomTo(node);
    });
    view.addEventListener("scroll", () => { hover(-1); draw(); });

    // Keyboard.

    const isVisible = node => isCaller(node) || (node > state.zoom && node < tree.end[state.zoom] && widthOf(node) >= leastWidth);

    function neighbor(node, direction) {
      if (direction === "caller") return tree.parent[node];
      if (direction === "callee") {
        if (node < state.zoom && isCaller(node)) return callersOf(state.zoom)[tree.depth[node] + 1];
        const callees = calleesOf(node).filter(isVisible);
        return callees.length ? callees.reduce((widest, callee) => tree.total[callee] > tree.total[widest] ? callee : widest) : -1;
      }
      if (isCaller(node)) return -1;
      const row = tree.rows[tree.depth[node]], step = direction === "next" ? 1 : -1;
      let k = lowerBound(row, node) + step;
      while (k >= 0 && k < row.length && row[k] > state.zoom && row[k] < tree.end[state.zoom]) {
        if (isVisible(row[k])) return row[k];
        k += step;
      }
      return -1;
    }

    function nextMatch(backward) {
      if (state.matched === null) return;
      const from = state.zoom, size = tree.end[from] - from, step = backward ? size - 1 : 1;
      const at = Math.max(state.selected >= 0 && isVisible(state.selected) ? state.selected : from, from) - from;
      for (let k = 1, i = at; k <= size; k++) {
        i = (i + step) % size;
        if (state.matched[tree.fn[from + i]] && isVisible(from + i)) { select(from + i); return; }
      }
    }

    const upward = () => state.orientation === "icicle" ? "caller" : "callee";
    const downward = () => state.orientation === "icicle" ? "callee" : "caller";

    canvas.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const node = state.selected >= 0 && isVisible(state.selected) ? state.selected : -1;
      const move = direction => select(node < 0 ? state.zoom : neighbor(node, direction));
      const keys = {
        ArrowUp: () => move(upward()), ArrowDown: () => move(downward()), ArrowLeft: () => move("previous"), ArrowRight: () => move("next"),
        Home: () => select(0), Enter: () => { if (node >= 0) zoomTo(node); }, " ": () => { if (node >= 0) zoomTo(node); },
        Backspace: () => { if (state.zoom > 0) { select(tree.parent[state.zoom]); zoomTo(tree.parent[state.zoom]); } },
        n: () => nextMatch(false), N: () => nextMatch(true),
      };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });

    document.addEventListener("keydown", event => {
      if (event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
      const keys = { "/": () => { search.focus(); search.select(); }, i: flip, t: changeTheme, Escape: reset };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });

    search.addEventListener("input", () => setSearch(search.value));
    search.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      if (event.key === "Escape") setSearch("");
      canvas.focus();
      if (event.key === "Enter") nextMatch(false);
    });
    byId("flip").addEventListener("click", flip);
    byId("theme").addEventListener("click", changeTheme);
    byId("reset").addEventListener("click", reset);

    // The address: what is there is shown, and what is shown can be shared.

    function keepState(isStep) {
      const fields = new URLSearchParams();
      if (state.zoom > 0) fields.set("zoom", state.zoom);
      if (state.search) fields.set("search", state.search);
      if (state.orientation !== profile.orientation) fields.set("view", state.orientation);
      if (state.theme) fields.set("theme", state.theme);
      const hash = fields.size ? `#${fields}` : "";
      if (hash === location.hash) return;
      history[isStep ? "pushState" : "replaceState"](null, "", hash || location.pathname + location.search);
    }

    function restoreState() {
      const fields = new URLSearchParams(location.hash.slice(1));
      const one = (name, choices, otherwise) => choices.includes(fields.get(name)) ? fields.get(name) : otherwise;
      const zoom = Number(fields.get("zoom") ?? 0);
      setTheme(one("theme", ["light", "dark"], ""));
      state.orientation = one("view", ["flame", "icicle"], profile.orientation);
      setSearch(fields.get("search") ?? "", false);
      zoomTo(Number.isInteger(zoom) && zoom > 0 && zoom < tree.count ? zoom : 0, false);
      setOrientation(state.orientation);
      showStatus();
    }

    addEventListener("popstate", restoreState);
    prefersDark.addEventListener("change", () => setTheme(state.theme));
    measure();
    showPath();
    restoreState();
    // The first answer of the observer is the size that was just measured.
    new ResizeObserver(() => {
      if (view.clientWidth === width && view.clientHeight === height) return;
      const fromRoot = content.offsetHeight - view.scrollTop - height;
      measure();
      if (state.orientation === "flame") view.scrollTop = content.offsetHeight - fromRoot - height;
    }).observe(view);
    addEventListener("resize", () => measure());
    """#
}
