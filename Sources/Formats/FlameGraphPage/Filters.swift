extension FlameGraph.Page {
  /// Which of the measured values count: by process, thread, place and time.
  static let filters = #"""
    const { threads } = profile;
    const filterOf = id => byId(`filter-${id}`);
    const chosen = id => filterOf(id).value;

    // Threads by process: those with the same id, or where there are no ids, the same name.
    const threadWeight = new Float64Array(threads.name.length);
    for (const { thread, value } of sources) for (let i = 0; i < thread.length; i++) threadWeight[thread[i]] += value[i];
    const processOf = [];
    const processes = (() => {
      const found = new Map();
      threads.name.forEach((name, t) => {
        const pid = threads.pid[t], key = pid < 0 ? `name ${name}` : pid;
        if (!found.has(key)) found.set(key, { index: found.size, main: t, weight: 0, threads: [] });
        const process = found.get(key);
        process.threads.push(t);
        process.weight += threadWeight[t];
        // Its first thread names it, else the one that did most.
        const isFirst = thread => Number(threads.tid[thread] >= 0 && threads.tid[thread] === threads.pid[thread]);
        const order = isFirst(t) - isFirst(process.main) || threadWeight[t] - threadWeight[process.main];
        if (order > 0) process.main = t;
        processOf[t] = process.index;
      });
      return [...found.values()];
    })();
    const processLabel = ({ main }) => strings[threads.name[main]] + (threads.pid[main] < 0 ? "" : ` (${threads.pid[main]})`);
    const threadLabel = t => strings[threads.name[t]] + (threads.tid[t] < 0 ? "" : ` (${threads.tid[t]})`);

    // The choices of each filter, the dearest first; a filter that has nothing to choose from is not shown.
    const choiceLimit = 500;
    function offer(id, all, choices) {
      const control = filterOf(id), sorted = choices.sort((a, b) => b.weight - a.weight);
      control.replaceChildren(element("option", { value: "", textContent: all }),
        ...sorted.slice(0, choiceLimit).map(({ value, label }) => element("option", { value, textContent: label })));
      if (sorted.length > choiceLimit) {
        const textContent = `${grouped(sorted.length - choiceLimit, 0)} smaller ones are not listed`;
        control.append(element("option", { disabled: true, textContent }));
      }
      control.parentElement.hidden = choices.length < 2;
    }

    function offerThreads() {
      const process = processes[chosen("process") || -1];
      const listed = process ? process.threads : processes.length === threads.name.length ? [] : threads.name.map((_, t) => t);
      offer("thread", "All threads", listed.map(t => ({ value: String(t), label: threadLabel(t), weight: threadWeight[t] })));
    }

    function offerAll() {
      offer("process", "All processes",
        processes.map(process => ({ value: String(process.index), label: processLabel(process), weight: process.weight })));
      offerThreads();
      offer("ran", "Kernel and user", Object.entries(partWeight).filter(([, weight]) => weight > 0)
        .map(([value, weight]) => ({ value, label: value === "user" ? "User code only" : "Kernel only", weight })));
      offer("module", "All modules", modules.map(module => ({ value: String(module), label: strings[module], weight: moduleWeight[module] })));
    }

    const filterIDs = ["process", "thread", "ran", "module"];
    const isFiltered = () => state.time !== null || filterIDs.some(chosen);

    // Which nodes' own values count: those that ran in the chosen part, with a frame of the chosen module on their stack.
    function passingNodes() {
      const ran = chosen("ran"), module = chosen("module");
      if (!ran && !module) return null;
      const { fn, parent } = tree, within = new Uint8Array(tree.count), passing = new Uint8Array(tree.count);
      for (let i = 0; i < tree.count; i++) {
        within[i] = !module || functions.module[fn[i]] === Number(module) || (i > 0 && within[parent[i]]) ? 1 : 0;
        passing[i] = within[i] && (!ran || (functions.kind[fn[i]] === 1) === (ran === "kernel")) ? 1 : 0;
      }
      return passing;
    }

    // Whether an entry passes all filters but that of time.
    let passing = () => true;

    function weighFiltered() {
      const process = chosen("process"), thread = chosen("thread"), nodes = passingNodes();
      const passes = Uint8Array.from(threads.name, (_, t) => (!process || processOf[t] === Number(process)) && (!thread || t === Number(thread)));
      channels.forEach(([s, field], c) => {
        const { self } = tree.weights[c], source = sources[s];
        const { node, thread, [field]: value } = source;
        const isCounted = i => passes[thread[i]] === 1 && (nodes === null || nodes[node[i]] === 1);
        self.fill(0);
        if (state.time) {
          const { entry, value } = times(), end = momentAt(state.time[1]);
          for (let k = momentAt(state.time[0]); k < end; k++) if (isCounted(entry[k])) self[node[entry[k]]] += value ? value[k] : 1;
        } else {
          for (let i = 0; i < value.length; i++) if (isCounted(i)) self[node[i]] += value[i];
        }
      });
      passing = i => passes[sources[0].thread[i]] === 1 && (nodes === null || nodes[sources[0].node[i]] === 1);
      delete tree.largestChange;
      weigh(tree, state.basis);
    }

    // Weighs everything anew and shows it.
    function refilter() {
      weighFiltered();
      while (main.zoom > 0 && !(tree.total[main.zoom] > 0)) main.zoom = tree.parent[main.zoom];
      if (main.selected >= 0 && !(tree.total[main.selected] > 0)) main.selected = -1;
      main.hovered = -1;
      tooltip.hidden = true;
      main.arrange();
      if (list.isReady) fillHeat(passing);
      fillTable();
      fillSandwich();
      showPath();
      showMatched();
      showStatus();
      const whole = sources[state.basis].sum;
      const chosenTime = state.time ? ` to ${rangeText(state.time)}` : "";
      byId("filtered").textContent = isFiltered() ? `Filtered${chosenTime}: ${percent(tree.total[0], whole)} of ${quantity(whole)}` : "";
      byId("filters").classList.toggle("active", isFiltered());
      for (const id of filterIDs) filterOf(id).classList.toggle("chosen", chosen(id) !== "");
      byId("unfilter").hidden = !isFiltered();
    }

    function setFilter(id, value) {
      const control = filterOf(id);
      control.value = Array.from(control.options).some(option => option.value === value) ? value : "";
      if (id === "process") {
        const thread = chosen("thread");
        offerThreads();
        setFilter("thread", thread);
      }
    }

    function clearFilters() {
      for (const id of filterIDs) setFilter(id, "");
      state.time = null;
    }

    for (const id of filterIDs) {
      filterOf(id).addEventListener("change", () => {
        setFilter(id, chosen(id));
        refilter();
        keepState(true);
      });
    }
    byId("unfilter").addEventListener("click", () => {
      clearFilters();
      refilter();
      keepState(true);
      graphs[0].canvas.focus();
    });
    """#
}
