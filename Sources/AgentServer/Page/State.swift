extension Page {
  /// What is asked for, which is also the page's address.
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

    // from, to: what the timeline shows, as the interface reads times. at: the chosen range in seconds, or null. before: what it is compared
    // with: a range, or how much earlier, or null. over: what is shown over time.
    const initial = { type: "cpu", match: "", by: "service", from: "-15m", to: "now", at: null, before: null, over: "timeline",
      metric: "swtrace_run_queue_latency_seconds", live: true };
    const asked = { ...initial };
    // Seconds; the span before is as long as the chosen range.
    const shifts = { "-1h": 3600, "-1d": 86400, "-1w": 604800, span: 0 };

    const rangeOf = text => {
      const found = /^(\d{1,11})-(\d{1,11})$/.exec(text ?? "");
      return found && Number(found[1]) < Number(found[2]) ? found.slice(1).map(Number) : null;
    };
    const isTime = text => text === "now" || /^\d{1,11}$|^-\d{1,6}[smhdw]$/.test(text);

    function readAddress() {
      const parameters = new URLSearchParams(location.search);
      const text = (name, isGood) => isGood(parameters.get(name) ?? "") ? parameters.get(name) ?? "" : initial[name];
      const before = parameters.get("before");
      Object.assign(asked, {
        type: text("type", type => Object.hasOwn(types, type)), match: parameters.get("match") ?? "", by: text("by", by => by !== ""),
        from: text("from", isTime), to: text("to", isTime), at: rangeOf(parameters.get("at")),
        before: Object.hasOwn(shifts, before ?? "") ? before : rangeOf(before),
        over: text("over", over => over === "heatmap" || over === "metrics"), metric: text("metric", metric => metric !== ""), live: parameters.get("live") !== "0",
      });
      // An empty span has nothing to show.
      if (!(span()[0] < span()[1])) Object.assign(asked, { from: initial.from, to: initial.to });
    }

    function addressOf(what) {
      const parameters = new URLSearchParams();
      for (const name of ["type", "match", "by", "from", "to", "over", "metric"]) if (what[name] !== initial[name]) parameters.set(name, what[name]);
      for (const name of ["at", "before"]) if (what[name]) parameters.set(name, Array.isArray(what[name]) ? what[name].join("-") : what[name]);
      if (!what.live) parameters.set("live", "0");
      return parameters.size ? `?${parameters}` : location.pathname;
    }
    const address = () => addressOf(asked);

    const now = () => Math.floor(Date.now() / 1000);
    const lengths = { s: 1, m: 60, h: 3600, d: 86400, w: 604800 };
    const seconds = text => text === "now" ? now() : text.startsWith("-") ? now() - Number(text.slice(1, -1)) * lengths[text.at(-1)] : Number(text);
    const span = () => [seconds(asked.from), seconds(asked.to)];
    const isLive = () => asked.live && asked.to === "now";

    // How much earlier than what is chosen that is which it is compared with; null where it is a range of its own.
    function shift() {
      if (typeof asked.before !== "string") return null;
      const [from, to] = asked.at ?? span();
      return shifts[asked.before] || to - from;
    }
    function earlier() {
      const by = shift();
      return by === null ? asked.before : (asked.at ?? span()).map(second => second - by);
    }
    // A range of its own waits for another one.
    const isCompared = () => asked.before !== null && (asked.at !== null || shift() !== null);

    // Parameters of a question about the series that are shown, in a range or in all that the timeline shows.
    function parameters(range) {
      const [from, to] = range ?? [asked.from, asked.to], match = asked.over === "metrics" ? selectorOn(profileLabels) : asked.match;
      return { type: asked.type, from, to, ...(match && { match }) };
    }

    // The conditions of a selector, as they are written.
    const conditionsOf = selector => [...selector.matchAll(/([A-Za-z_]\w*)\s*(?:=~|!~|!=|=)\s*"(?:[^"\\]|\\.)*"/g)].map(([whole, name]) => ({ whole, name }));
    const quoted = value => `"${value.replace(/[\\"\n]/g, found => found === "\n" ? "\\n" : `\\${found}`)}"`;
    const conditionOn = (name, value) => `${name}=${quoted(value)}`;
    // The selector with this condition in place of those on the same label; without any for a null value.
    function selectorWith(name, value) {
      const others = conditionsOf(asked.match).filter(condition => condition.name !== name).map(({ whole }) => whole);
      const all = value === null ? others : [...others, conditionOn(name, value)];
      return all.length ? `{${all.join(",")}}` : "";
    }
    """#

  /// Times, amounts and sizes as people read them.
  static let texts = #"""
    const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
    const shortClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
    const isSameDay = (a, b) => new Date(a * 1000).toDateString() === new Date(b * 1000).toDateString();
    const pointText = second => `${isSameDay(second, now()) ? "" : `${day.format(second * 1000)} `}${clock.format(second * 1000)}`;
    const rangeText = ([from, to]) => `${pointText(from)} – ${isSameDay(from, to) ? clock.format(to * 1000) : pointText(to)}`;

    // Three digits that count.
    const rounded = number => number >= 100 ? Math.round(number).toString().replace(/\B(?=(\d{3})+$)/g, ",") : String(Number(number.toPrecision(3)));
    const durationScales = [[3600e9, "h"], [60e9, "min"], [1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];
    const durationText = nanoseconds => {
      const [size, unit] = durationScales.find(([size]) => nanoseconds >= size) ?? [1, "ns"];
      return `${rounded(nanoseconds / size)} ${unit}`;
    };
    const amountText = value => asked.over === "metrics" ? rounded(value) : types[asked.type].amount(value);
    const rateText = rate => asked.over === "metrics" ? `${rounded(rate)}/s` : types[asked.type].rate(rate);
    const bytesText = bytes => {
      const [size, unit] = [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [1024, "KiB"]].find(([size]) => bytes >= size) ?? [1, "bytes"];
      return `${rounded(bytes / size)} ${unit}`;
    };
    const percentText = share => `${Number((share * 100).toPrecision(3))}%`;
    // What there are profiles of; the key of the configuration turns one on.
    const waits = { amount: durationText, rate: rate => `${rounded(rate)} threads waiting`, chosen: "of the waits, longer ones rather than short ones" };
    const types = {
      cpu: { name: "On CPU", key: "cpu.frequency", amount: rounded, rate: rate => `${rounded(rate)} CPUs` },
      off_cpu: { name: "Off CPU", key: "off_cpu.threshold", ...waits },
      lock: { name: "Locks", key: "lock.threshold", ...waits },
      allocations: { name: "Allocations", key: "allocations.interval", amount: bytesText, rate: rate => `${bytesText(rate)}/s`,
        chosen: "by their bytes, larger ones rather than small ones" },
    };
    const typeName = type => types[type]?.name ?? type;
    """#
}
