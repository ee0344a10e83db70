extension FlameGraph.Page {
  /// The profile as typed arrays, its layout, and what is asked of it; no drawing.
  static let model = #"""
    const byId = id => document.getElementById(id);
    const profile = JSON.parse(byId("profile").textContent);
    const { strings, functions } = profile;

    // The tree, one entry a node; callers stand before what they call, and each depth is in the order of drawing.
    const tree = (() => {
      const count = profile.nodes.depth.length;
      const depth = new Uint16Array(profile.nodes.depth);
      const fn = new Uint32Array(profile.nodes.function);
      const self = new Float64Array(profile.nodes.self);
      const parent = new Int32Array(count), end = new Int32Array(count);
      const total = new Float64Array(self), start = new Float64Array(count), next = new Float64Array(count);
      const open = [0];
      let deepest = 0;
      for (let i = 0; i < count; i++) {
        parent[i] = i ? open[depth[i] - 1] : -1;
        open[depth[i]] = i;
        if (depth[i] > deepest) deepest = depth[i];
      }
      for (let i = count - 1; i >= 0; i--) {
        if (end[i] === 0) end[i] = i + 1;
        if (i === 0) break;
        total[parent[i]] += total[i];
        if (end[parent[i]] < end[i]) end[parent[i]] = end[i];
      }
      for (let i = 1; i < count; i++) {
        const caller = parent[i];
        start[i] = next[i] = next[caller];
        next[caller] += total[i];
      }
      const sizes = new Int32Array(deepest + 2);
      for (let i = 0; i < count; i++) sizes[depth[i]]++;
      const rows = Array.from({ length: deepest + 1 }, (_, d) => new Int32Array(sizes[d]));
      sizes.fill(0);
      for (let i = 0; i < count; i++) rows[depth[i]][sizes[depth[i]]++] = i;
      return { count, depth, fn, self, parent, end, total, start, rows, deepest };
    })();

    const nameOf = node => strings[functions.name[tree.fn[node]]];
    const moduleOf = node => strings[functions.module[tree.fn[node]]];
    // Ordinary code (kind 0) goes without saying.
    const kindOf = node => functions.kind[tree.fn[node]] ? profile.kinds[functions.kind[tree.fn[node]]] : "";

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
    function nodeAt(row, from, to, value) {
      let low = lowerBound(row, from), high = lowerBound(row, to);
      const first = low;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (tree.start[row[middle]] <= value) low = middle + 1; else high = middle;
      }
      if (low === first) return -1;
      const node = row[low - 1];
      return value < tree.start[node] + tree.total[node] ? node : -1;
    }

    function deepestIn(node) {
      let deepest = tree.depth[node];
      for (let i = node; i < tree.end[node]; i++) if (tree.depth[i] > deepest) deepest = tree.depth[i];
      return deepest;
    }

    function callersOf(node) {
      const path = [];
      for (let i = node; i >= 0; i = tree.parent[i]) path.unshift(i);
      return path;
    }

    function calleesOf(node) {
      const callees = [];
      for (let i = node + 1; i < tree.end[node]; i = tree.end[i]) callees.push(i);
      return callees;
    }

    // Which functions a pattern matches. Without capitals in the pattern, letters match either way.
    function matching(pattern) {
      const expression = new RegExp(pattern, /\p{Lu}/u.test(pattern.replace(/\\./g, "")) ? "" : "i");
      const matched = new Uint8Array(functions.name.length);
      for (let f = 1; f < matched.length; f++) {
        if (expression.test(strings[functions.name[f]]) || expression.test(strings[functions.module[f]])) matched[f] = 1;
      }
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

    const scales = {
      ns: [["ns", 1], ["µs", 1e3], ["ms", 1e6], ["s", 1e9]], us: [["µs", 1], ["ms", 1e3], ["s", 1e6]], ms: [["ms", 1], ["s", 1e3]],
      bytes: [["bytes", 1], ["KiB", 1024], ["MiB", 1048576], ["GiB", 1073741824]],
    };
    const grouped = (number, digits) =>
      number.toLocaleString("en-US", { minimumFractionDigits: digits ?? 0, maximumFractionDigits: digits ?? profile.decimals });

    function quantity(value) {
      const number = value / 10 ** profile.decimals;
      const steps = Object.hasOwn(scales, profile.unit) ? scales[profile.unit] : null;
      if (!steps) return `${grouped(number)} ${profile.unit === "samples" && number === 1 ? "sample" : profile.unit}`.trim();
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
    """#
}
