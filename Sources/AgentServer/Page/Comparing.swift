extension Page {
  /// With what the chosen range is compared.
  static let comparing = #"""
    const shiftNames = { span: "the time right before", "-1h": "one hour earlier", "-1d": "the day before, same time", "-1w": "the week before, same time" };
    byId("compare").append(...[["", "Not compared"], ...Object.entries(shiftNames).map(([value, name]) => [value, `Compare with ${name}`]),
      ["own", "Compare with a range of its own"]].map(([value, textContent]) => element("option", { value, textContent })));

    function showCompared() {
      byId("compare").value = Array.isArray(asked.before) ? "own" : asked.before ?? "";
      byId("compare").classList.toggle("chosen", asked.before !== null);
      const chosen = asked.at ?? span(), before = earlier();
      byId("chosen-range").textContent = before === null ? rangeText(chosen)
        : `${isCompared() ? rangeText(chosen) : "choose a range"}, compared with ${rangeText(before)}`;
    }

    const hint = text => {
      say(text);
      byId("timeline-about").textContent = text;
      (canvas.hidden ? heatCanvas : canvas).focus();
    };

    // The chosen range becomes the earlier one, and the next one is compared with it.
    function compareNext() {
      if (asked.at) {
        [asked.before, asked.at] = [asked.at, null];
        changed();
        return hint(`The next range that you choose is compared with ${rangeText(asked.before)}.`);
      }
      showCompared();
      hint("Choose a range first: the next one is compared with it. Or drag with Shift.");
    }

    function compareWith(before) {
      if (before === "own") return compareNext();
      asked.before = before || null;
      say(before ? `Compared with ${shiftNames[before]}` : "No longer compared");
      changed();
    }
    byId("compare").addEventListener("change", () => compareWith(byId("compare").value));

    // What a comparison says when one side of it is empty.
    const nothingBefore = profile => profile.before && profile.before.value.length === 0
      ? `Nothing was measured from ${rangeText(earlier())}: there is nothing to compare with.` : "";
    """#
}
