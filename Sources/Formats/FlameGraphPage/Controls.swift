extension FlameGraph.Page {
  /// Search, zoom, the toolbar and its keys.
  static let controls = #"""
    const search = byId("search"), path = byId("path"), help = byId("help");

    function zoomTo(node, remember = true) {
      if (!(tree.total[node] > 0)) return;
      main.zoom = node;
      main.hovered = -1;
      tooltip.hidden = true;
      main.arrange();
      showPath();
      showMatched();
      main.scrollToRoot();
      main.reveal(node);
      if (remember) keepState(true);
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
      sortTable();
      drawAll();
      if (remember) keepState(false);
    }

    function setOrientation(orientation) {
      state.orientation = orientation;
      byId("flip").textContent = orientation === "icicle" ? "Flame" : "Icicle";
      main.scrollToRoot();
      main.reveal(main.zoom);
      main.draw();
    }

    function setTheme(theme) {
      state.theme = theme;
      if (theme) document.documentElement.dataset.theme = theme; else delete document.documentElement.dataset.theme;
      byId("theme").textContent = scheme() === "dark" ? "Light" : "Dark";
      if (list.isReady && knownTimes) heat.paint();
      showLegend();
      drawAll();
    }

    function setColors(colors) {
      state.colors = byId("colors").value = colors;
      showLegend();
      drawAll();
    }

    function setTable(isShown) {
      state.table = isShown;
      byId("functions").hidden = !isShown;
      byId("table").setAttribute("aria-pressed", isShown);
    }

    function reset() {
      state.fn = -1;
      clearFilters();
      main.zoom = 0;
      main.selected = -1;
      setCenter(-1);
      setSearch("", false);
      refilter();
      zoomTo(0, false);
      say("Whole graph");
      keepState(true);
    }

    // Of a comparison: whether frames are as wide as after (0) or before (1).
    function setBasis(basis) {
      byId("basis").hidden = !isComparison;
      state.basis = basis;
      byId("basis").textContent = basis ? "Widths: before" : "Widths: after";
    }

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
      if (main.zoom > 0) text += `, ${percent(matchedValue(state.matched, main.zoom), tree.total[main.zoom])} of zoomed`;
      output.textContent = text;
    }

    function showPath() {
      path.replaceChildren();
      const add = (text, isCurrent, go) => {
        if (path.childNodes.length) path.append(element("span", { textContent: "›" }));
        if (!go) return path.append(element("span", { textContent: text }));
        const button = element("button", { type: "button", textContent: text, title: text });
        if (isCurrent) button.setAttribute("aria-current", "true");
        button.addEventListener("click", go);
        path.append(button);
      };
      const callers = callersOf(tree, main.zoom);
      const shown = callers.length > 8 ? [callers[0], -1, ...callers.slice(-6)] : callers;
      for (const node of shown) {
        if (node < 0) add(`… ${callers.length - 7} more …`);
        else add(textOf(tree.fn[node]), node === main.zoom, () => { zoomTo(node); main.canvas.focus(); });
      }
    }

    // Buttons and keys.

    const commands = {
      flip: () => { setOrientation(state.orientation === "icicle" ? "flame" : "icicle"); keepState(false); },
      theme: () => { setTheme(scheme() === "dark" ? "light" : "dark"); keepState(false); },
      table: () => { setTable(!state.table); keepState(false); },
      basis: () => { setBasis(1 - state.basis); refilter(); keepState(false); },
      help: () => help.showModal(),
      reset,
    };
    for (const [id, command] of Object.entries(commands)) byId(id === "help" ? "show-help" : id).addEventListener("click", command);
    const nextColors = () => {
      const choices = Array.from(byId("colors").options, ({ value }) => value);
      setColors(choices[(choices.indexOf(state.colors) + 1) % choices.length]);
      say(`Colors: ${byId("colors").selectedOptions[0].textContent}`);
      keepState(false);
    };
    const globalKeys = {
      "/": () => { search.focus(); search.select(); }, i: commands.flip, t: commands.theme, l: commands.table, c: nextColors,
      s: () => showSandwich(state.fn), f: showFlame, ...(isComparison ? { b: commands.basis } : {}), "?": commands.help, Escape: reset,
    };
    document.addEventListener("keydown", event => {
      if (document.querySelector("dialog[open]") || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (!Object.hasOwn(globalKeys, event.key)) return;
      event.preventDefault();
      globalKeys[event.key]();
    }, { signal });
    byId("colors").addEventListener("change", () => { setColors(byId("colors").value); keepState(false); });

    search.addEventListener("input", () => setSearch(search.value));
    search.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      if (event.key === "Escape") setSearch("");
      graphs[0].canvas.focus();
      if (event.key === "Enter") nextMatch(graphs[0], false);
    });
    """#
}
