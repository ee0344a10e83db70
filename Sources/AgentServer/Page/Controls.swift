extension Page {
  /// The toolbar, keys, and when what is fetched.
  static let controls = #"""
    const view = byId("profile-view");
    // The profile that is shown: how to end it, what it answers, and what was asked for it.
    let shown = null;

    // Of the flame graph's fields, those that mean the same in another profile.
    const lasting = ["theme", "colors", "table", "sort", "search", "view", "basis"];
    function forgetPlace() {
      const fields = new URLSearchParams(location.hash.slice(1));
      for (const name of [...fields.keys()]) if (!lasting.includes(name)) fields.delete(name);
      history.replaceState(null, "", (location.search || location.pathname) + (fields.size ? `#${fields}` : ""));
    }

    function showProfile(profile, question) {
      const before = shown?.graph.place(), inside = view.contains(document.activeElement) ? document.activeElement : null;
      const focused = inside && (inside.id || inside.closest("[id]")?.id), cursor = inside?.selectionStart;
      shown?.controller.abort();
      // A link's place is of the profile that it was made with; a relative range is another one each time.
      if (before || !asked.at && asked.from.startsWith("-")) forgetPlace();
      view.replaceChildren(byId("profile-template").content.cloneNode(true));
      view.querySelector("#help .columns").append(byId("keys").content.cloneNode(true));
      const controller = new AbortController();
      shown = { controller, question, graph: flameGraph(profile, controller.signal) };
      if (before) shown.graph.goTo(before);
      if (focused) (byId(focused)?.matches("canvas, input, button, select, [tabindex]") ? byId(focused) : byId("graph")).focus();
      if (typeof cursor === "number" && focused === "search") byId("search").setSelectionRange(cursor, cursor);
    }

    function profileQuestion() {
      if (!asked.before || !asked.at) return ["/api/v1/profile", parameters(asked.at)];
      const [before_from, before_to] = asked.before;
      return ["/api/v1/difference", { ...parameters(asked.at), before_from, before_to }];
    }

    async function loadProfile() {
      const [path, what] = profileQuestion(), question = JSON.stringify([path, what]);
      const isFixed = asked.at || !(asked.from.startsWith("-") || asked.to === "now");
      if (isFixed && shown?.question === question) {
        // It is there already: nothing that was asked after it counts.
        questions.get("profile")?.abort();
        problems.delete("profile");
        return showProblems();
      }
      const profile = await ask("profile", path, what);
      if (profile) showProfile(profile, question);
    }

    async function loadTimeline() {
      const timeline = await ask("timeline", "/api/v1/timeline", { ...parameters(), by: asked.by });
      if (timeline) setTimeline(timeline);
    }
    async function loadLabels() {
      const labels = await ask("labels", "/api/v1/labels", { type: asked.type, from: asked.from, to: asked.to });
      if (labels) offerLabels(labels);
    }
    async function loadHealth() {
      const health = await ask("health", "/api/v1/health");
      if (health) showHealth(health);
    }

    function showAsked() {
      byId("type").value = asked.type;
      if (document.activeElement !== byId("match")) byId("match").value = asked.match;
      byId("span").value = asked.to === "now" && [...byId("span").options].some(({ value }) => value === asked.from) ? asked.from : "";
      byId("by").value = asked.by;
      byId("go-live").setAttribute("aria-pressed", asked.live);
      byId("compare").setAttribute("aria-pressed", asked.before !== null);
      const chosen = asked.at ?? span();
      byId("chosen-range").textContent = !asked.before ? rangeText(chosen)
        : `${asked.at ? rangeText(chosen) : "choose a range"}, compared with ${rangeText(asked.before)}`;
      for (const format of ["pprof", "folded"]) byId(`save-${format}`).href = `/api/v1/profile?${new URLSearchParams({ ...parameters(asked.at), format })}`;
      drawTimeline();
      showServices();
    }

    const load = () => { showAsked(); return Promise.all([loadTimeline(), loadProfile(), loadLabels(), loadHealth()]); };

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

    const commands = {
      "go-live": () => {
        asked.live = !asked.live;
        // Only a range that ends now changes.
        if (asked.live && asked.to !== "now") Object.assign(asked, { from: initial.from, to: "now", at: null });
        say(asked.live ? "Read anew every 10 seconds" : "No longer read anew");
        changed();
      },
      compare: () => {
        if (!asked.before && !asked.at) {
          say("Choose a range first: the next one is compared with it");
          byId("timeline-about").textContent = "Choose a range first: the next one is compared with it.";
          return canvas.focus();
        }
        [asked.before, asked.at] = asked.before ? [null, asked.at] : [asked.at, null];
        say(asked.before ? `The next range is compared with ${rangeText(asked.before)}` : "No longer compared");
        changed();
        if (asked.before) canvas.focus();
      },
      "show-health": () => byId("health").showModal(),
    };
    for (const [id, command] of Object.entries(commands)) byId(id).addEventListener("click", command);
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

    const keys = { m: () => { byId("match").focus(); byId("match").select(); }, r: commands["go-live"], d: commands.compare, h: commands["show-health"] };
    document.addEventListener("keydown", event => {
      if (document.querySelector("dialog[open]") || /^(INPUT|SELECT)$/.test(event.target.tagName)) return;
      if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
      event.preventDefault();
      keys[event.key]();
    });

    // Not while somebody reads a dialog or nobody looks.
    setInterval(() => {
      if (asked.live && !document.hidden && !document.querySelector("dialog[open]")) load();
    }, 10000);

    readAddress();
    load();
    """#
}
