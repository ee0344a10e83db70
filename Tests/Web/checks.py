"""What the tests of pages have in common: checks that are counted, and the stops of the keyboard."""

import os
import shutil
import sys

counts = {"passed": 0, "failed": 0}


def check(what, actual, expected):
    counts["passed" if actual == expected else "failed"] += 1
    print(f"✔ {what}" if actual == expected else f"✘ {what}\n    is       {actual!r}\n    expected {expected!r}")


def finish(name):
    """Prints the line that Tests/run adds up, and ends."""
    print(f"{name}: {counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] else 0)


# The name of everything that can have the focus, and whether the focus is to be seen there.
STOPS = """() => {
  const active = document.activeElement, style = getComputedStyle(active);
  const labels = active.labels ? Array.from(active.labels, label => label.textContent).join(" ") : "";
  const name = active.ariaLabel || labels || active.title || active.textContent;
  return [active === document.body ? "" : active.id || active.tagName === "SUMMARY" && "SUMMARY" || active.textContent, name.trim() !== "", style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1]; }"""


def stops(page, limit=80):
    """Where Tab leads, from the page's beginning until it has been everywhere."""
    found = []
    while len(found) < limit:
        page.keyboard.press("Tab")
        stop = page.evaluate(STOPS)
        if stop in found or stop[0] == "":
            break
        found.append(stop)
    return found


def launch(playwright):
    """The browser; as root, and in a container, it has no sandbox."""
    return playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM") or shutil.which("chromium"), args=["--no-sandbox"])
