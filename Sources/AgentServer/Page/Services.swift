extension Page {
  /// The same numbers as elements: a table of the values of one label, which filters.
  static let services = #"""
    const rowLimit = 200;

    function showServices() {
      const [first, end] = shownSteps(), colors = palettes[scheme()].series, by = line.metric?.by ?? asked.by, isLatency = Boolean(line.metric?.whole);
      const sums = line.rows.map(row => {
        let sum = 0;
        for (let i = first; i < end; i++) sum += row.sums[i];
        return sum;
      });
      const whole = sums.reduce((sum, value) => sum + value, 0);
      const order = sums.map((_, r) => r).filter(r => sums[r] > 0).sort((a, b) => sums[b] - sums[a]);
      const focused = document.activeElement?.closest?.("#services button")?.dataset.value;
      byId("services-amount").textContent = isLatency ? "Values" : "Amount";
      byId("services-share").textContent = isLatency ? "p99 ≈" : "Share";
      byId("services").tBodies[0].replaceChildren(...order.slice(0, rowLimit).map(r => {
        const mark = element("i"), value = line.rows[r].value;
        const isOnly = conditionsOf(asked.match).some(({ whole }) => whole === conditionOn(by, value));
        mark.style.background = isLatency ? "none" : colors[Math.min(r, namedRows)];
        const button = element("button", { type: "button", title: rowName(line.rows[r]), ariaPressed: isOnly }, mark, rowName(line.rows[r]));
        button.dataset.value = value;
        button.addEventListener("click", () => {
          asked.match = selectorWith(by, isOnly ? null : value);
          say(isOnly ? "All series" : `Only ${rowName(line.rows[r])}`);
          changed();
        });
        const share = isLatency ? quantileTextOf(line.rows[r], first, end, 0.99) : `${(sums[r] / whole * 100).toFixed(1)}%`;
        return element("tr", {}, element("th", { scope: "row" }, button), element("td", { textContent: amountText(sums[r]) }),
          element("td", { textContent: share }));
      }));
      if (order.length > rowLimit) {
        byId("services").tBodies[0].append(element("tr", {}, element("td", { colSpan: 3, textContent: `${order.length - rowLimit} smaller ones` })));
      }
      if (focused !== undefined) [...byId("services").querySelectorAll("button")].find(({ dataset }) => dataset.value === focused)?.focus();
    }

    // The names of labels that series have now, and always the one that is asked for; their values as conditions to complete.
    function offerLabels({ labels }) {
      byId("selectors").replaceChildren(...Object.entries(labels).flatMap(([name, values]) =>
        values.slice(0, rowLimit).map(value => element("option", { value: `{${conditionOn(name, value)}}` }))));
      if (asked.over !== "metrics") offerBy([...new Set([...Object.keys(labels), asked.by, "service"])].sort(), asked.by);
    }
    function offerBy(names, chosen) {
      byId("by").replaceChildren(...names.map(name => element("option", { value: name, textContent: `By ${name}` })));
      byId("by").value = chosen;
    }
    """#
}
