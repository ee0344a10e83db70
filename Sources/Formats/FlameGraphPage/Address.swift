extension FlameGraph.Page {
  /// The address: what is there is shown, and what is shown can be shared.
  static let address = #"""
    byId("colors").append(...[
      ...(isComparison ? [["change", "Color: change"]] : []), ["kind", "Color: kind"],
      ...(coloredModules.length ? [["module", "Color: module"]] : []),
    ].map(([value, textContent]) => element("option", { value, textContent })));

    const choiceOr = (text, choices, otherwise) => choices.includes(text) ? text : otherwise;
    // A number below a limit, or -1.
    const numberOr = (text, limit) => /^\d{1,9}$/.test(text) && Number(text) < limit ? Number(text) : -1;
    const colorChoices = Array.from(byId("colors").options, ({ value }) => value);

    // "1.5-2": seconds.
    function timeOr(text, otherwise) {
      const found = /^(\d{1,6}(?:\.\d{1,4})?)-(\d{1,6}(?:\.\d{1,4})?)$/.exec(text);
      if (!found || !times()) return otherwise;
      const range = found.slice(1).map(second => Math.round(second * times().perSecond));
      return range[0] < range[1] ? range : otherwise;
    }

    // Each field of the fragment: what it says now, empty where that goes without saying, and how it is shown again.
    const fields = {
      theme: [() => state.theme, text => setTheme(choiceOr(text, ["light", "dark"], ""))],
      colors: [() => state.colors === colorChoices[0] ? "" : state.colors, text => setColors(choiceOr(text, colorChoices, colorChoices[0]))],
      table: [() => state.table ? "" : "off", text => setTable(text !== "off")],
      sort: [
        () => `${list.sort === defaultSort && !list.isUp ? "" : list.sort}${list.isUp ? "-up" : ""}`,
        text => {
          list.isUp = text.endsWith("-up");
          list.sort = choiceOr(text.replace("-up", ""), columns.map(({ id }) => id), defaultSort);
        },
      ],
      ...Object.fromEntries(filterIDs.map(id => [id, [() => chosen(id), text => setFilter(id, text)]])),
      time: [() => state.time ? state.time.map(step => +(step / times().perSecond).toFixed(4)).join("-") : "",
        text => { state.time = timeOr(text, null); }],
      function: [() => state.fn < 0 ? "" : state.fn, text => { state.fn = numberOr(text, functions.name.length); }],
      basis: [() => state.basis ? "before" : "", text => setBasis(isComparison && text === "before" ? 1 : 0)],
      search: [() => state.search, text => setSearch(text, false)],
      view: [() => state.orientation === profile.orientation ? "" : state.orientation,
        text => setOrientation(choiceOr(text, ["flame", "icicle"], profile.orientation))],
      zoom: [() => main.zoom > 0 ? main.zoom : "", text => { main.zoom = Math.max(numberOr(text, tree.count), 0); }],
      sandwich: [() => state.center < 0 ? "" : state.center, text => { state.center = numberOr(text, functions.name.length); }],
      selected: [() => main.selected < 0 ? "" : main.selected, text => { main.selected = numberOr(text, tree.count); }],
    };

    function keepState(isStep) {
      const parameters = new URLSearchParams();
      for (const [name, [say]] of Object.entries(fields)) if (say() !== "") parameters.set(name, say());
      const hash = parameters.size ? `#${parameters}` : "";
      if (hash === location.hash) return;
      history[isStep ? "pushState" : "replaceState"](null, "", hash || location.pathname + location.search);
    }

    function restoreState() {
      const parameters = new URLSearchParams(location.hash.slice(1));
      for (const [name, [, show]] of Object.entries(fields)) show(parameters.get(name) ?? "");
      refilter();
      setCenter(state.center);
      revealRow(list.active);
      main.scrollToRoot();
      main.reveal(main.zoom);
      if (main.selected >= 0) main.reveal(main.selected);
    }

    addEventListener("popstate", restoreState, { signal });
    prefersDark.addEventListener("change", () => setTheme(state.theme), { signal });
    addEventListener("resize", () => graphs.forEach(graph => graph.measure()), { signal });

    // Where one looks, by names: another profile has other numbers.
    const namesTo = node => callersOf(tree, node).slice(1).map(caller => textOf(tree.fn[caller]));
    const place = () => ({
      zoom: namesTo(Math.max(main.zoom, 0)), selected: namesTo(Math.max(main.selected, 0)),
      center: state.center < 0 ? null : textOf(state.center), fn: state.fn < 0 ? null : textOf(state.fn),
      // Of the graph from its root, and of the table.
      scrolled: [main.fromRoot(), rowsView.scrollTop], pointer: tooltip.hidden ? null : main.pointer,
      filters: filterIDs.filter(chosen).map(id => [id, filterOf(id).selectedOptions[0].textContent]),
    });
    // Goes there, or as far as there is something.
    function goTo({ zoom, selected, center, fn, filters, scrolled, pointer }) {
      const follow = names => names.reduce((path, name) => {
        const next = path.isWhole ? calleesOf(tree, path.node).find(callee => textOf(tree.fn[callee]) === name) : undefined;
        return next === undefined ? { ...path, isWhole: false } : { node: next, isWhole: true };
      }, { node: 0, isWhole: true });
      const named = name => name === null ? -1 : functions.name.findIndex((_, f) => textOf(f) === name);
      for (const [id, label] of filters) {
        setFilter(id, Array.from(filterOf(id).options).find(({ textContent }) => textContent === label)?.value ?? "");
      }
      refilter();
      main.zoom = follow(zoom).node;
      const end = follow(selected);
      main.selected = selected.length && end.isWhole ? end.node : -1;
      state.fn = named(fn);
      state.center = named(center);
      keepState(false);
      restoreState();
      main.scrollFromRoot(scrolled[0]);
      rowsView.scrollTop = scrolled[1];
      if (pointer) main.pointAt(...pointer);
    }

    offerAll();
    byId("time").hidden = !byId("times");
    main.measure();
    main.setTree(tree);
    restoreState();
    function fillRest() {
      if (signal?.aborted) return;
      list.isReady = true;
      times();
      fillHeat(passing);
      new ResizeObserver(() => fillHeat(passing)).observe(byId("heat"));
      fillTable();
      revealRow(list.active);
    }
    if (before) {
      // Nobody should see that it is another one.
      fillRest();
      goTo(before);
    } else {
      // The graph is there first, the table of many functions right after it.
      requestAnimationFrame(() => setTimeout(fillRest));
    }
    return { place };
    """#
}
