extension Page {
  /// What is asked for, which is also the page's address, and how it is fetched.
  static let state = #"""
    const byId = id => document.getElementById(id);
    const element = (tag, properties = {}, ...children) => {
      const made = Object.assign(document.createElement(tag), properties);
      made.append(...children);
      return made;
    };
    const say = text => { byId("said").textContent = text; };
    const prefersDark = matchMedia("(prefers-color-scheme: dark)");
    const scheme = () => document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light");

    // from, to: what the timeline shows, as the interface reads times. at, before: chosen ranges in seconds, or null.
    const initial = { type: "cpu", match: "", by: "service", from: "-1h", to: "now", at: null, before: null, live: false };
    const asked = { ...initial };

    const rangeOf = text => {
      const found = /^(\d{1,11})-(\d{1,11})$/.exec(text ?? "");
      return found && Number(found[1]) < Number(found[2]) ? found.slice(1).map(Number) : null;
    };
    const isTime = text => text === "now" || /^-?\d{1,11}[smhdw]?$/.test(text);

    function readAddress() {
      const parameters = new URLSearchParams(location.search);
      const text = (name, isGood) => isGood(parameters.get(name) ?? "") ? parameters.get(name) ?? "" : initial[name];
      Object.assign(asked, {
        type: text("type", type => type === "off_cpu"), match: parameters.get("match") ?? "", by: text("by", by => by !== ""),
        from: text("from", isTime), to: text("to", isTime), at: rangeOf(parameters.get("at")), before: rangeOf(parameters.get("before")),
        live: parameters.get("live") === "1",
      });
    }

    function address() {
      const parameters = new URLSearchParams();
      for (const name of ["type", "match", "by", "from", "to"]) if (asked[name] !== initial[name]) parameters.set(name, asked[name]);
      for (const name of ["at", "before"]) if (asked[name]) parameters.set(name, asked[name].join("-"));
      if (asked.live) parameters.set("live", "1");
      return parameters.size ? `?${parameters}` : location.pathname;
    }

    const now = () => Math.floor(Date.now() / 1000);
    const lengths = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
    const seconds = text => text === "now" ? now() : text.startsWith("-") ? now() - Number(text.slice(1, -1)) * lengths[text.at(-1)] : Number(text);
    const span = () => [seconds(asked.from), seconds(asked.to)];

    // The last problem of each kind of question.
    const problems = new Map();
    function showProblems() {
      const texts = [...new Set(problems.values())];
      byId("problem").textContent = texts.join(" · ");
      byId("problem").hidden = texts.length === 0;
      byId("match").setAttribute("aria-invalid", texts.some(text => text.startsWith("the selector")));
    }

    // Asks; a newer question of the same kind ends an older one. Null when that happened, or there is no answer.
    const questions = new Map();
    async function ask(kind, path, parameters = {}) {
      questions.get(kind)?.abort();
      const controller = new AbortController();
      questions.set(kind, controller);
      try {
        const response = await fetch(`${path}?${new URLSearchParams(parameters)}`, { signal: controller.signal });
        const answer = await response.json();
        if (!response.ok) throw new Error(answer.error);
        problems.delete(kind);
        return questions.get(kind) === controller ? answer : null;
      } catch (error) {
        if (controller.signal.aborted) return null;
        problems.set(kind, error instanceof TypeError ? "the agent does not answer" : error.message);
        return null;
      } finally {
        showProblems();
      }
    }

    // Parameters of a question about the series that are shown, in a range or in all that the timeline shows.
    function parameters(range) {
      const [from, to] = range ?? [asked.from, asked.to];
      return { type: asked.type, from, to, ...(asked.match && { match: asked.match }) };
    }

    const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
    const shortClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });
    const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
    const isSameDay = (a, b) => new Date(a * 1000).toDateString() === new Date(b * 1000).toDateString();
    const pointText = second => `${isSameDay(second, now()) ? "" : `${day.format(second * 1000)} `}${clock.format(second * 1000)}`;
    const rangeText = ([from, to]) => `${pointText(from)} – ${isSameDay(from, to) ? clock.format(to * 1000) : pointText(to)}`;

    // Three digits that count.
    const rounded = number => number >= 100 ? Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",") : String(Number(number.toPrecision(3)));
    const durationScales = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
    function amountText(value) {
      if (asked.type === "cpu") return rounded(value);
      const [size, unit] = durationScales.find(([size]) => value >= size) ?? [1, "ns"];
      return `${rounded(value / size)} ${unit}`;
    }
    const rateText = rate => asked.type === "cpu" ? `${rounded(rate)} samples/s` : `${rounded(rate / 1e9)} threads waiting`;
    const bytesText = bytes => {
      const [size, unit] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [1024, "KiB"]].find(([size]) => bytes >= size) ?? [1, "bytes"];
      return `${rounded(bytes / size)} ${unit}`;
    };
    """#
}
