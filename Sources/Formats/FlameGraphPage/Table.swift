extension FlameGraph.Page {
  /// The table of functions. Only the rows in view are elements, so that any number of functions costs the same.
  static let table = #"""
    const rowsView = byId("rows"), rowsContent = byId("rows-content");
    const rowSize = 24;
    // What the columns show of a function, and what they are sorted by. The text is made for rows in view only. A narrow table leaves out
    // what is not essential.
    const isBeyond = row => row.noise !== null && Math.abs(row.change) > row.noise;
    const noiseText = row => row.noise === null ? "" : `±${points(row.noise)}${isBeyond(row) ? " ●" : "  "}`;
    const errorText = f => {
      const error = samplingError(list.self[f], tree.total[0]);
      return error === null ? "" : `±${percent(error, 1)}`;
    };
    const comparisonColumns = [
      { id: "before", label: "Before", isExtra: true, title: "Own share of the earlier profile",
        of: f => list.rows[f].before, text: f => points(list.rows[f].before) },
      { id: "after", label: "After", title: "Own share of the later profile",
        of: f => list.rows[f].after, text: f => points(list.rows[f].after) },
      { id: "change", label: "Change", width: "70px", title: "Of the own share; sorted by its size",
        of: f => Math.abs(list.rows[f].change), text: f => signed(list.rows[f].change) },
      { id: "noise", label: "± noise", width: "84px", title: "Three standard errors of the change; ● marks changes that are larger",
        of: f => isBeyond(list.rows[f]) ? 1 + Math.abs(list.rows[f].change) : 0, text: f => noiseText(list.rows[f]) },
      { id: "total", label: "Total change", isExtra: true, width: "92px", title: "Of the share with all that was called",
        of: f => Math.abs(list.totals[f]), text: f => signed(list.totals[f]) },
    ];
    const ownColumns = [
      { id: "self", label: "Self", isExtra: true, width: "64px", title: "Measured while the function itself ran",
        of: f => list.self[f], text: f => quantity(list.self[f], false) },
      { id: "share", label: "Self %", title: "Its share of what is shown", of: f => list.self[f], text: f => percent(list.self[f], tree.total[0]) },
      ...(isSampled ? [{ id: "error", label: "±", width: "60px", title: "Sampling error of the own share: two standard errors",
        of: f => list.self[f], text: errorText }] : []),
      { id: "total", label: "Total", isExtra: true, width: "64px", title: "Measured while the function was anywhere on the stack",
        of: f => list.total[f], text: f => quantity(list.total[f], false) },
      { id: "totalshare", label: "Total %", title: "Its share of what is shown",
        of: f => list.total[f], text: f => percent(list.total[f], tree.total[0]) },
    ];
    const columns = [...(isComparison ? comparisonColumns : ownColumns), { id: "function", label: "Function", title: "Name and module", text: textOf }];
    const defaultSort = isComparison ? "change" : "self";
    const list = { isReady: false, present: [], shown: [], active: -1, sort: defaultSort, isUp: false };
    // Markers, processes and the root are no functions.
    const isFunction = fn => functions.kind[fn] < 3;

    // The pattern that a row's click searches for.
    const exactly = fn => `^${textOf(fn).replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;

    // Makes the list anew: what there is changed, or the search.
    function fillTable() {
      if (!list.isReady) return;
      const sides = tree.weights.map(costs);
      Object.assign(list, sides[0]);
      if (isComparison) {
        const all = wholes();
        list.rows = Array.from(sides[0].self, (_, f) => difference(sides.map(({ self }) => self[f]), all));
        list.totals = Array.from(sides[0].total, (_, f) => difference(sides.map(({ total }) => total[f]), all).change);
      }
      list.present = Array.from(functions.name, (_, f) => f).filter(f => isFunction(f) && sides.some(({ total }) => total[f] > 0));
      sortTable();
    }

    function sortTable() {
      // A search that a row's click made should not take away the other rows.
      const isNarrowed = state.matched !== null && !list.present.some(f => state.matched[f] && state.search === exactly(f));
      list.shown = isNarrowed ? list.present.filter(f => state.matched[f]) : list.present.slice();
      const { of } = columns.find(({ id }) => id === list.sort), sign = list.isUp ? 1 : -1;
      const byName = (a, b) => textOf(a) < textOf(b) ? -1 : textOf(a) > textOf(b) ? 1 : a - b;
      list.shown.sort(of ? (a, b) => sign * (of(a) - of(b)) || list.total[b] - list.total[a] || byName(a, b) : (a, b) => sign * byName(a, b));
      list.active = state.fn < 0 ? -1 : list.shown.indexOf(state.fn);
      rowsView.setAttribute("aria-rowcount", list.shown.length + 1);
      rowsContent.style.height = `${Math.max(list.shown.length, 1) * rowSize}px`;
      for (const head of byId("grid-head").children) {
        head.setAttribute("aria-sort", head.dataset.id === list.sort ? list.isUp ? "ascending" : "descending" : "none");
      }
      paintRows();
    }

    function paintRows() {
      const first = Math.max(0, Math.floor(rowsView.scrollTop / rowSize) - 4);
      const last = Math.min(list.shown.length, Math.ceil((rowsView.scrollTop + rowsView.clientHeight) / rowSize) + 4);
      const rows = [];
      for (let k = first; k < last; k++) {
        const fn = list.shown[k];
        const row = element("div", { className: "row", id: `row-${k}`, role: "row", ariaRowIndex: k + 2, ariaSelected: fn === state.fn });
        row.dataset.fn = fn;
        row.style.top = `${k * rowSize}px`;
        if (k === list.active) row.classList.add("active");
        if (state.matched?.[fn]) row.classList.add("matched");
        for (const { id, text, isExtra } of columns) {
          const cell = element("span", { role: "gridcell", textContent: text(fn), className: isExtra ? "extra" : id });
          if (id === "function") {
            const origin = originOf(fn);
            cell.title = origin ? `${textOf(fn)} [${origin}]` : textOf(fn);
            if (origin) cell.append(element("small", { textContent: origin }));
          }
          row.append(cell);
        }
        rows.push(row);
      }
      if (!list.shown.length) rows.push(element("div", { className: "row none", textContent: "No function" }));
      rowsContent.replaceChildren(...rows);
      if (list.active >= first && list.active < last) rowsView.setAttribute("aria-activedescendant", `row-${list.active}`);
      else rowsView.removeAttribute("aria-activedescendant");
    }

    function revealRow(k) {
      if (k < 0) return;
      const top = k * rowSize;
      if (top < rowsView.scrollTop) rowsView.scrollTop = top;
      else if (top + rowSize > rowsView.scrollTop + rowsView.clientHeight) rowsView.scrollTop = top + rowSize - rowsView.clientHeight;
    }

    // The function that the table marks, whoever chose it.
    function chooseFunction(fn) {
      state.fn = fn;
      list.active = list.shown.indexOf(fn);
      revealRow(list.active);
      paintRows();
    }

    function activateRow(k) {
      const fn = list.shown[k];
      if (fn === undefined) return;
      chooseFunction(fn);
      if (state.center >= 0) return showSandwich(fn);
      setSearch(exactly(fn));
      say(`${textOf(fn)}, ${columns.slice(0, -1).map(({ label, text }) => `${label} ${text(fn)}`).join(", ")}`);
    }

    function sortBy(id) {
      list.isUp = list.sort === id ? !list.isUp : id === "function";
      list.sort = id;
      rowsView.scrollTop = 0;
      sortTable();
      keepState(false);
    }

    byId("grid-head").append(...columns.map(({ id, label, title, isExtra }) => {
      const head = element("span", { role: "columnheader", className: isExtra ? "extra" : id }, element("button", { type: "button", textContent: label, title }));
      head.dataset.id = id;
      head.firstChild.addEventListener("click", () => sortBy(id));
      return head;
    }));
    for (const [name, shown] of [["--columns", columns], ["--few-columns", columns.filter(({ isExtra }) => !isExtra)]]) {
      byId("grid").style.setProperty(name, `${shown.slice(0, -1).map(({ width }) => width ?? "56px").join(" ")} minmax(110px, 1fr)`);
    }
    rowsView.setAttribute("aria-colcount", columns.length);
    rowsView.addEventListener("scroll", paintRows);
    rowsView.addEventListener("click", event => {
      const row = event.target.closest("[data-fn]");
      if (row) activateRow(list.shown.indexOf(Number(row.dataset.fn)));
    });
    rowsView.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const page = Math.max(1, Math.floor(rowsView.clientHeight / rowSize) - 1), last = list.shown.length - 1;
      const move = by => {
        list.active = Math.max(0, Math.min(last, list.active < 0 ? 0 : list.active + by));
        revealRow(list.active);
        paintRows();
      };
      const keys = {
        ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(page), PageUp: () => move(-page),
        Home: () => move(-last), End: () => move(last), Enter: () => activateRow(list.active), " ": () => activateRow(list.active),
        s: () => { if (list.active >= 0) showSandwich(list.shown[list.active]); },
      };
      if (!Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });
    new ResizeObserver(paintRows).observe(rowsView);
    """#
}
