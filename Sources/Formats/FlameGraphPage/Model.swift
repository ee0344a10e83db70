extension FlameGraph.Page {
  /// The profile as typed arrays, its layout, and what is asked of it; no drawing.
  static let model = #"""
    const byId = id => document.getElementById(id);
    const element = (tag, properties = {}, ...children) => {
      const made = Object.assign(document.createElement(tag), properties);
      made.append(...children);
      return made;
    };
    const { strings, functions } = profile;
    const textOf = fn => strings[functions.name[fn]];
    const originOf = fn => [moduleOf(fn), kindOf(fn)].filter(Boolean).join(", ");
    const moduleOf = fn => strings[functions.module[fn]];
    // Ordinary code (kind 0) goes without saying.
    const kindOf = fn => functions.kind[fn] ? profile.kinds[functions.kind[fn]] : "";

    // What was measured: a value for each node and thread. A comparison has two such lists, of which the second is from before.
    const sources = [profile.entries, profile.before].filter(Boolean).map(list => {
      const node = new Uint32Array(list.node);
      for (let i = 1; i < node.length; i++) node[i] += node[i - 1];
      return { node, thread: new Uint32Array(list.thread), value: new Float64Array(list.value), count: list.count && new Float64Array(list.count) };
    });
    const isComparison = sources.length === 2;
    // A tree has a weight for each of these: [source, field].
    const channels = [...sources.map((_, s) => [s, "value"]), ...sources.flatMap((source, s) => source.count ? [[s, "count"]] : [])];

    // A tree, one entry a node; callers stand before what they call, and each depth is in the order of drawing.
    function makeTree(depths, fns) {
      const count = depths.length, depth = new Uint16Array(depths), fn = new Uint32Array(fns);
      const parent = new Int32Array(count), end = new Int32Array(count);
      const open = [0];
      let deepest = 0;
      for (let i = 0; i < count; i++) {
        parent[i] = i ? open[depth[i] - 1] : -1;
        open[depth[i]] = i;
        if (depth[i] > deepest) deepest = depth[i];
      }
      for (let i = count - 1; i >= 0; i--) {
        if (end[i] === 0) end[i] = i + 1;
        if (i > 0 && end[parent[i]] < end[i]) end[parent[i]] = end[i];
      }
      const sizes = new Int32Array(deepest + 1);
      for (let i = 0; i < count; i++) sizes[depth[i]]++;
      const rows = Array.from(sizes, size => new Int32Array(size));
      sizes.fill(0);
      for (let i = 0; i < count; i++) rows[depth[i]][sizes[depth[i]]++] = i;
      const weights = channels.map(() => ({ self: new Float64Array(count), total: new Float64Array(count) }));
      return { count, depth, fn, parent, end, rows, deepest, weights, self: weights[0].self, total: weights[0].total, start: new Float64Array(count) };
    }

    // Totals from the nodes' own values, and the layout by the weight that decides the widths.
    function weigh(tree, basis) {
      const { count, parent, start, weights } = tree;
      for (const { self, total } of weights) {
        total.set(self);
        for (let i = count - 1; i > 0; i--) total[parent[i]] += total[i];
      }
      tree.self = weights[basis].self;
      const total = tree.total = weights[basis].total, next = new Float64Array(count);
      for (let i = 1; i < count; i++) {
        start[i] = next[i] = next[parent[i]];
        next[parent[i]] += total[i];
      }
    }

    const tree = makeTree(profile.nodes.depth, profile.nodes.function);

    // What each function costs itself and with all it calls, by one of the tree's weights; a recursive call counts once.
    function costs(weight) {
      const self = new Float64Array(functions.name.length), total = new Float64Array(self.length), openUntil = new Int32Array(self.length);
      for (let i = 0; i < tree.count; i++) {
        const fn = tree.fn[i];
        self[fn] += weight.self[i];
        if (i >= openUntil[fn]) { total[fn] += weight.total[i]; openUntil[fn] = tree.end[i]; }
      }
      return { self, total };
    }

    // The place in a row of the first node that is not before the given one.
    function lowerBound(row, node) {
      let low = 0, high = row.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (row[middle] < node) low = middle + 1; else high = middle;
      }
      return low;
    }

    // The node of a row that covers a value, within the nodes from..<to; -1 for none.
    function nodeAt(tree, row, from, to, value) {
      let low = lowerBound(row, from), high = lowerBound(row, to);
      const first = low;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (tree.start[row[middle]] <= value) low = middle + 1; else high = middle;
      }
      // What a filter left nothing of has no width.
      for (let k = low - 1; k >= first; k--) {
        const node = row[k];
        if (value < tree.start[node] + tree.total[node]) return node;
        if (tree.total[node] > 0) return -1;
      }
      return -1;
    }

    function deepestIn(tree, node) {
      let deepest = tree.depth[node];
      for (let i = node; i < tree.end[node]; i++) if (tree.depth[i] > deepest && tree.total[i] > 0) deepest = tree.depth[i];
      return deepest;
    }

    function callersOf(tree, node) {
      const path = [];
      for (let i = node; i >= 0; i = tree.parent[i]) path.unshift(i);
      return path;
    }

    function calleesOf(tree, node) {
      const callees = [];
      for (let i = node + 1; i < tree.end[node]; i = tree.end[i]) if (tree.total[i] > 0) callees.push(i);
      return callees;
    }

    // Which functions a pattern matches. Without capitals in the pattern, letters match either way.
    function matching(pattern) {
      const expression = new RegExp(pattern, /\p{Lu}/u.test(pattern.replace(/\\./g, "")) ? "" : "i");
      const matched = new Uint8Array(functions.name.length);
      for (let f = 1; f < matched.length; f++) if (expression.test(textOf(f)) || expression.test(moduleOf(f))) matched[f] = 1;
      return matched;
    }

    // The value under matched frames within a node; what is under two of them counts once.
    function matchedValue(matched, within) {
      // Below a matched caller everything matches already.
      for (let i = tree.parent[within]; i >= 0; i = tree.parent[i]) if (matched[tree.fn[i]]) return tree.total[within];
      let value = 0;
      for (let i = within; i < tree.end[within];) {
        if (matched[tree.fn[i]]) { value += tree.total[i]; i = tree.end[i]; } else i++;
      }
      return value;
    }
    """#

  /// Values as people read them, and how sure they are.
  static let quantities = #"""
    const scales = {
      ns: [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]], us: [["µs", 1], ["ms", 1e3], ["s", 1e6]], ms: [["ms", 1], ["s", 1e3]],
      bytes: [["bytes", 1], ["KiB", 1024], ["MiB", 1048576], ["GiB", 1073741824]],
    };
    // Thousands set apart. The browser's own way costs 15 ms when it is used first.
    function grouped(number, digits) {
      const [whole, fraction = ""] = number.toFixed(digits ?? profile.decimals).split(".");
      const shown = digits === undefined ? fraction.replace(/0+$/, "") : fraction;
      return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (shown && `.${shown}`);
    }
    const isSampled = profile.unit === "samples";

    function quantity(value, named = true) {
      const number = value / 10 ** profile.decimals;
      const steps = Object.hasOwn(scales, profile.unit) ? scales[profile.unit] : null;
      if (!steps) return `${grouped(number)} ${!named ? "" : isSampled && number === 1 ? "sample" : profile.unit}`.trim();
      const [name, size] = steps.findLast(step => number >= step[1]) ?? steps[0];
      const scaled = number / size;
      return `${size === 1 ? grouped(number) : grouped(scaled, scaled < 10 ? 2 : scaled < 100 ? 1 : 0)} ${name}`;
    }

    function percent(part, whole) {
      if (!(part > 0 && whole > 0)) return "0%";
      const share = part / whole * 100;
      return share < 0.005 ? "<0.01%" : `${share.toFixed(2)}%`;
    }

    const amount = (value, whole) => `${quantity(value)} (${percent(value, whole)})`;
    const points = share => `${(share * 100).toFixed(2)}%`;
    const signed = share => `${share < 0 && points(share) !== "-0.00%" ? "−" : "+"}${points(Math.abs(share))}`;

    // Two standard errors of a share of so many samples: 95 of 100 such profiles are not further off. Null where nothing was sampled.
    function samplingError(part, whole) {
      const share = part / whole, samples = whole / 10 ** profile.decimals;
      return isSampled && part > 0 ? 2 * Math.sqrt(share * (1 - share) / samples) : null;
    }
    """#
}
