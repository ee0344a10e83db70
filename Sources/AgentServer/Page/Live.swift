extension Page {
  /// When what is shown is read anew, and what is said while there is nothing to show.
  static let live = #"""
    let timer = 0, isPressed = false;
    for (const [kind, value] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false]]) {
      addEventListener(kind, () => { isPressed = value; }, { capture: true });
    }
    // Not what somebody is busy with, and not what nobody sees.
    const isBusy = () => isPressed || document.hidden || document.querySelector("dialog[open]") || document.activeElement?.tagName === "SELECT"
      || document.activeElement === byId("match") && byId("match").value.trim() !== asked.match;

    // After the next window, which is named and stored within two seconds; often while there is nothing yet.
    function schedule() {
      clearTimeout(timer);
      const wait = isSilent() ? 5 : isWaiting() ? 1 : 12 - Date.now() / 1000 % 10;
      timer = setTimeout(async () => {
        if ((isLive() || isSilent() || isWaiting()) && !isBusy()) await load();
        schedule();
      }, wait * 1000);
    }
    document.addEventListener("visibilitychange", () => { if (!document.hidden && isLive()) load(); });

    function setLive(isOn) {
      asked.live = isOn;
      if (isOn && asked.to !== "now") Object.assign(asked, { from: initial.from, to: "now", at: null });
      say(isOn ? "Follows the present" : "Paused");
      changed();
    }

    // Null before the first answer.
    let knownHealth = null, knownProbes = [];
    const extent = () => knownHealth?.store.extents[asked.type];
    // The first window of all is still open. Where no profile is measured there will be none.
    const isWaiting = () => knownHealth !== null && knownHealth.profiles.length === 0 && !extent()
      && knownProbes.some(({ name, running, pending }) => Object.hasOwn(types, name) && (running || pending));

    function reasonForNothing([from, to]) {
      if (isWaiting()) return ["The agent measures since a moment ago. The first window takes up to ten seconds; it is shown here by itself."];
      const kept = extent();
      if (!kept) {
        const { name, key } = types[asked.type];
        return [`${name} was never measured here. Where it is turned off, ${key} in the agent's configuration turns it on.`];
      }
      if (to <= kept[0] || from >= kept[1]) {
        return [`Nothing is kept from ${rangeText([from, to])}. There is ${rangeText(kept)}.`, "Show the last of it",
          () => Object.assign(asked, { at: null, from: String(Math.max(kept[0], kept[1] - 900)), to: String(kept[1]) })];
      }
      if (asked.match) {
        return [`No series with ${asked.match} has values from ${rangeText([from, to])}.`, "Show all series", () => { asked.match = ""; }];
      }
      return [`Nothing was measured from ${rangeText([from, to])}.`];
    }

    // In place of a profile without values. A comparison may have some on its other side.
    function showNothing() {
      const isEmpty = shown !== null && shown.sum === 0;
      byId("profile-view").hidden = isEmpty;
      byId("empty").hidden = !isEmpty;
      if (!isEmpty) return;
      const [text, offer, change] = reasonForNothing(asked.at ?? span());
      const parts = [element("p", { textContent: text })];
      if (offer) {
        const button = element("button", { type: "button", textContent: offer });
        button.addEventListener("click", () => { change(); changed(); });
        parts.push(button);
      }
      if (byId("empty").textContent !== parts.map(({ textContent }) => textContent).join("")) byId("empty").replaceChildren(...parts);
    }
    """#
}
