extension Page {
  /// The toolbar, keys, and when what is fetched.
  static let controls = #"""
    const view = byId("profile-view");
    // The profile that is shown: how to end it, what was asked for it, its text, and the sum of its values.
    let shown = null;

    // Of the flame graph's fields, those that mean the same in another profile.
    const lasting = ["theme", "colors", "table", "sort", "search", "view", "basis"];
    function forgetPlace() {
      const fields = new URLSearchParams(location.hash.slice(1));
      for (const name of [...fields.keys()]) if (!lasting.includes(name)) fields.delete(name);
      history.replaceState(null, "", (location.search || location.pathname) + (fields.size ? `#${fields}` : ""));
    }

    function showProfile(text, question) {
      if (shown?.text === text && shown.question === question) return;
      const profile = JSON.parse(text), sum = [profile.entries, profile.before].reduce((all, list) => list ? list.value.reduce((a, b) => a + b, all) : all, 0);
      const before = shown?.graph.place(), inside = view.contains(document.activeElement) ? document.activeElement : null;
      const focused = inside && (inside.id || inside.closest("[id]")?.id), cursor = inside?.selectionStart;
      shown?.controller.abort();
      // A link's place is of the profile that it was made with; a relative range is another one each time.
      if (before || !asked.at && asked.from.startsWith("-")) forgetPlace();
      view.hidden = false;
      view.replaceChildren(byId("profile-template").content.cloneNode(true));
      view.querySelector("#help .columns").append(byId("keys").content.cloneNode(true));
      const controller = new AbortController();
      shown = { controller, question, text, sum, graph: flameGraph(profile, controller.signal, before) };
      if (focused) (byId(focused)?.matches("canvas, input, button, select, [tabindex]") ? byId(focused) : byId("graph")).focus();
      if (typeof cursor === "number" && focused === "search") byId("search").setSelectionRange(cursor, cursor);
      byId("comparison-about").textContent = nothingBefore(profile);
    }

    function profileQuestion() {
      if (!isCompared()) return ["/api/v1/profile", parameters(asked.at)];
      const [before_from, before_to] = earlier();
      return ["/api/v1/difference", { ...parameters(asked.at ?? span()), before_from, before_to }];
    }

    async function loadProfile() {
      const [path, what] = profileQuestion(), question = JSON.stringify([path, what]);
      const isFixed = asked.at || !(asked.from.startsWith("-") || asked.to === "now");
      if (isFixed && shown?.question === question && !isWaiting()) {
        // It is there already: nothing that was asked after it counts.
        questions.get("profile")?.abort();
        problems.delete("profile");
        return showProblems();
      }
      view.ariaBusy = "true";
      const text = await ask("profile", path, what, response => response.text());
      if (text === null) return;
      view.ariaBusy = null;
      showProfile(text, question);
      showNothing();
    }

    // With that of as much earlier, where the whole is compared with it.
    async function loadTimeline() {
      const what = { ...parameters(), by: asked.by }, by = shift();
      const [timeline, before] = await Promise.all([ask("timeline", "/api/v1/timeline", what), by && ask("earlier", "/api/v1/timeline",
        { ...what, from: span()[0] - by, to: span()[1] - by })]);
      if (!timeline || asked.over === "metrics") return;
      line.metric = null;
      setTimeline(timeline, before?.step === timeline.step ? before : null);
      showMissing();
    }
    async function loadLabels() {
      const labels = await ask("labels", "/api/v1/labels", { type: asked.type, from: asked.from, to: asked.to });
      if (labels) offerLabels(labels);
    }
    async function loadHealth() {
      const [health, probes] = await Promise.all([ask("health", "/api/v1/health"), ask("probes", "/api/v1/probes")]);
      if (health) showHealth(health, probes?.probes ?? knownProbes);
    }

    function showAsked() {
      byId("type").value = asked.type;
      if (document.activeElement !== byId("match")) byId("match").value = asked.match;
      byId("span").value = asked.to === "now" && [...byId("span").options].some(({ value }) => value === asked.from) ? asked.from : "";
      byId("by").value = asked.by;
      byId("go-live").setAttribute("aria-pressed", isLive());
      showCompared();
      for (const format of ["pprof", "folded"]) byId(`save-${format}`).href = `/api/v1/profile?${new URLSearchParams({ ...parameters(asked.at), format })}`;
      byId("link").href = addressOf({ ...asked, from: String(span()[0]), to: String(span()[1]) }) + location.hash;
      for (const over of Object.keys(overs)) byId(`over-${over}`).setAttribute("aria-pressed", asked.over === over);
      canvas.hidden = asked.over === "heatmap";
      heatCanvas.hidden = !canvas.hidden;
      byId("metric").hidden = asked.over !== "metrics";
      if (asked.over === "timeline") byId("over-about").textContent = "";
      drawTimeline();
      heatmap.draw();
      showServices();
      showHistogram();
      showMissing();
    }

    const overs = { timeline: [loadTimeline], heatmap: [loadHeatmap, loadTimeline], metrics: [loadMetrics] };
    const load = () => {
      showAsked();
      return Promise.all([...overs[asked.over], loadProfile, loadLabels, loadHealth].map(part => part()));
    };

    // A step of the history for each change.
    function changed() {
      history.pushState(null, "", address() + location.hash);
      load();
    }

    addEventListener("popstate", () => {
      const before = address();
      readAddress();
      if (address() !== before) load();
    });

    const commands = { "go-live": () => setLive(!isLive()), "show-health": () => byId("health").showModal() };
    for (const [id, command] of Object.entries(commands)) byId(id).addEventListener("click", command);
    function showOver(over) {
      asked.over = over;
      say(byId(`over-${over}`).textContent);
      changed();
    }
    for (const over of Object.keys(overs)) byId(`over-${over}`).addEventListener("click", () => showOver(over));
    for (const format of ["pprof", "folded"]) {
      byId(`save-${format}`).addEventListener("click", event => { event.preventDefault(); save(event.target); });
    }
    for (const kind of ["pointerdown", "focus"]) byId("link").addEventListener(kind, showAsked);
    byId("type").replaceChildren(...Object.entries(types).map(([value, { name }]) => element("option", { value, textContent: name })));
    byId("type").addEventListener("change", () => { asked.type = byId("type").value; changed(); });
    byId("span").addEventListener("change", () => { Object.assign(asked, { from: byId("span").value, to: "now", at: null }); changed(); });
    byId("by").addEventListener("change", () => { asked.by = byId("by").value; changed(); });
    // Enter and leaving the field are changes; its clear button is a search.
    for (const kind of ["change", "search"]) {
      byId("match").addEventListener(kind, () => {
        if (byId("match").value.trim() === asked.match) return;
        asked.match = byId("match").value.trim();
        changed();
      });
    }

    const keys = {
      m: () => { byId("match").focus(); byId("match").select(); }, r: commands["go-live"], h: commands["show-health"],
      v: () => showOver(Object.keys(overs)[(Object.keys(overs).indexOf(asked.over) + 1) % 3]),
      d: () => asked.before ? compareWith("") : compareNext(), D: () => byId("compare").focus(),
    };
    document.addEventListener("keydown", event => {
      if (document.querySelector("dialog[open]") || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });

    readAddress();
    load().finally(schedule);
    """#
}
