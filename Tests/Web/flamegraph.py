"""The flame graph's page in headless Chromium: every feature by its numbers, and how long painting takes.

Usage: flamegraph.py SWTRACE. Exit status 1 when anything differs. Screenshots stay in .build-web/screenshots.
"""

import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys

from playwright.sync_api import sync_playwright

SWTRACE = sys.argv[1]
OUTPUT = pathlib.Path(".build-web").resolve()
SCREENSHOTS = OUTPUT / "screenshots"
SCREENSHOTS.mkdir(parents=True, exist_ok=True)
ROW = 18

# 100 samples, so that values are percentages. From left to right: web server 0-90 (main: alloc 0-5, handle 5-65
# (parse_json 5-45 with alloc 5-15, vfs_read 45-65), idle 65-90), worker 90-100.
SMALL = """\
web server;main;handle;parse_json 30
web server;main;handle;parse_json;alloc_[i] 10
web server;main;handle;vfs_read_[k] 20
web server;main;alloc 5
web server;main;idle 25
worker;main;parse_json;parse_json 6
worker;</script><script>alert(1)</script>;naïve&"<x> 4
"""

failures = 0


def check(what, actual, expected):
    global failures
    if actual != expected:
        failures += 1
        print(f"✘ {what}\n    is       {actual!r}\n    expected {expected!r}")
    else:
        print(f"✔ {what}")


def draw(name, folded, *options):
    path = OUTPUT / f"{name}.html"
    command = [SWTRACE, "flamegraph", "-", "--format", "html", "-o", path, *options]
    subprocess.run(command, input=folded.encode(), check=True)
    return f"file://{path}"


class Page:
    """A page, what it asked for and complained of, and the graph's points in samples and depths."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**{"viewport": {"width": 1200, "height": 700}, "color_scheme": "light", **options})
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complain(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append("dialog"), dialog.dismiss()))
        self.page.goto(url)
        self.settle()

    def complain(self, text):
        # Reading pixels is what this test does, not the page.
        if "willReadFrequently" not in text:
            self.complaints.append(text)

    def settle(self):
        """Until what was asked for is painted."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def point(self, percent, depth):
        box = self.page.locator("#graph").bounding_box()
        is_icicle = self.text("#flip") == "Flame"
        y = (depth + 0.5) * ROW if is_icicle else box["height"] - (depth + 0.5) * ROW
        return box["x"] + percent / 100 * box["width"], box["y"] + y

    def hover(self, percent, depth):
        self.page.mouse.move(*self.point(percent, depth))
        self.settle()
        return self.text("#tooltip").split("\n") if self.page.locator("#tooltip").is_visible() else None

    def click(self, percent, depth):
        self.page.mouse.click(*self.point(percent, depth))
        self.settle()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def search(self, text):
        self.page.locator("#search").fill(text)
        self.settle()
        return self.text("#matched")

    def path(self):
        return self.page.locator("#path button").all_inner_texts()

    def live(self):
        return self.page.locator("#live").text_content()

    def fragment(self):
        return self.page.evaluate("location.hash")

    def pixel(self, percent, depth):
        x, y = self.point(percent, depth)
        script = """([x, y]) => {
          const canvas = document.getElementById("graph"), box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
          return Array.from(canvas.getContext("2d").getImageData((x - box.left) * ratio, (y - box.top) * ratio, 1, 1).data.slice(0, 3)); }"""
        return self.page.evaluate(script, [x, y])

    def background(self):
        return self.page.evaluate("getComputedStyle(document.body).backgroundColor")

    def screenshot(self, name):
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def close(self):
        check("no console message, error or dialog", self.complaints, [])
        check("nothing loaded but the page itself", {url.split("#")[0] for url in self.requests}, {self.requests[0].split("#")[0]})
        self.context.close()


def tooltips(page):
    check("tooltip: own value, total and share", page.hover(20, 4), ["parse_json", "self 30 samples (30.00%)", "total 40 samples (40.00%)"])
    page.screenshot("light")
    check("tooltip of a kernel frame", page.hover(50, 4), ["vfs_read", "kernel", "self 20 samples (20.00%)", "total 20 samples (20.00%)"])
    check("tooltip of an inlined frame", page.hover(10, 5), ["alloc", "inlined", "self 10 samples (10.00%)", "total 10 samples (10.00%)"])
    check("names are text, never markup", page.hover(91, 2)[0], "</script><script>alert(1)</script>")
    check("names of any characters", page.hover(91, 3)[0], 'naïve&"<x>')
    check("no tooltip where nothing ran", page.hover(80, 5), None)
    check("the line below says the same", (page.hover(20, 4), page.text("#status"))[1],
          "parse_json · self 30 samples (30.00%) · total 40 samples (40.00%)")


def searching(page):
    check("search: nested matches count once", page.search("parse_json"), "46.00% matched")
    page.screenshot("search")
    check("matched frames are highlighted", page.pixel(44, 4), [0xC2, 0x18, 0x5B])
    check("search: alternatives", page.search("parse_json|alloc"), "51.00% matched")
    check("search: anchors", page.search("^alloc$"), "15.00% matched")
    check("search: small letters match capitals, capitals only themselves", page.search("ALLOC"), "0% matched")
    check("search: processes too", page.search("worker"), "10.00% matched")
    check("search: what is not an expression is said", page.search("("), "not a regular expression")
    check("  and marked for assistive technology", page.page.locator("#search").get_attribute("aria-invalid"), "true")
    check("search: cleared", page.search(""), "")


def zooming(page):
    page.click(30, 3)
    check("click zooms; callers stay in the path", page.path(), ["all", "web server", "main", "handle"])
    check("  and in the graph", [page.hover(99, depth)[0] for depth in range(4)], ["all", "web server", "main", "handle"])
    check("  and its callees fill the width", page.hover(66, 4),
          ["parse_json", "self 30 samples (30.00%)", "total 40 samples (40.00%)", "66.67% of handle"])
    page.screenshot("zoomed")
    check("search in a zoom has both shares", page.search("vfs"), "20.00% matched, 33.33% of zoomed")
    page.search("")
    page.page.locator("#path button").nth(1).click()
    page.settle()
    check("the path leads back", page.path(), ["all", "web server"])
    page.page.go_back()
    page.settle()
    check("so does the browser", page.path(), ["all", "web server", "main", "handle"])
    page.click(50, 2)
    check("and a click on a caller", page.path(), ["all", "web server", "main"])
    page.page.locator("#reset").click()
    page.settle()
    check("reset", (page.path(), page.fragment()), (["all"], ""))


def keyboard(page):
    page.page.locator("#reset").focus()
    page.press("Tab", "Tab")
    check("Tab reaches the graph", page.page.evaluate("document.activeElement.id"), "graph")
    check("  and shows it", page.page.evaluate("getComputedStyle(document.activeElement).outlineStyle"), "solid")
    page.press("ArrowUp")
    check("the first arrow selects the zoomed frame", page.live(), "all, self 0 samples (0%), total 100 samples (100.00%), depth 0, 2 callees")
    page.press("ArrowUp", "ArrowUp", "ArrowUp")
    check("up: the widest callee", page.live(), "handle, self 0 samples (0%), total 60 samples (60.00%), depth 3, 2 callees")
    page.press("ArrowRight")
    check("right: the next", page.live(), "idle, self 25 samples (25.00%), total 25 samples (25.00%), depth 3, 0 callees")
    page.press("ArrowLeft", "ArrowLeft")
    check("left: the previous", page.live(), "alloc, self 5 samples (5.00%), total 5 samples (5.00%), depth 3, 0 callees")
    page.press("ArrowLeft")
    check("nothing before the first", page.live(), "alloc, self 5 samples (5.00%), total 5 samples (5.00%), depth 3, 0 callees")
    page.press("ArrowDown")
    check("down: the caller", page.live(), "main, self 0 samples (0%), total 90 samples (90.00%), depth 2, 3 callees")
    page.press("Enter")
    check("Enter zooms", page.path(), ["all", "web server", "main"])
    page.press("Backspace")
    check("Backspace zooms out by one", page.path(), ["all", "web server"])
    page.press("/")
    check("/ goes to the search", page.page.evaluate("document.activeElement.id"), "search")
    page.page.keyboard.type("vfs|idle")
    page.press("Enter")
    check("Enter goes to the first match", (page.page.evaluate("document.activeElement.id"), page.live()),
          ("graph", "vfs_read, kernel, self 20 samples (20.00%), total 20 samples (20.00%), depth 4, 0 callees"))
    page.press("n")
    check("n goes to the next", page.live(), "idle, self 25 samples (25.00%), total 25 samples (25.00%), depth 3, 0 callees")
    page.press("Shift+N")
    check("N goes back", page.live().split(",")[0], "vfs_read")
    page.press("i")
    check("i turns the graph over", (page.text("#flip"), page.hover(20, 4)[0]), ("Flame", "parse_json"))
    page.press("ArrowUp")
    check("  and the arrows with it", page.live().split(",")[0], "handle")
    page.press("i", "Escape")
    check("Escape resets zoom and search", (page.path(), page.fragment(), page.page.locator("#search").input_value()), (["all"], "", ""))


def remembering(page):
    page.click(30, 3)
    page.search("parse|é")
    page.press("Escape", "/")
    page.page.keyboard.type("parse.json")
    page.press("Enter", "i", "t")
    state = (page.path(), page.text("#matched"), page.text("#flip"), page.text("#theme"), page.background())
    check("state before the reload", state,
          (["all", "web server", "main", "handle"], "46.00% matched, 66.67% of zoomed", "Flame", "Light", "rgb(22, 24, 29)"))
    check("the fragment holds it", page.fragment(), "#zoom=4&search=parse.json&view=icicle&theme=dark")
    page.page.reload()
    page.settle()
    check("and brings it back", (page.path(), page.text("#matched"), page.text("#flip"), page.text("#theme"), page.background()), state)
    for nonsense in ["#zoom=999999&view=x&theme=y", "#zoom=-1&search=(", "#zoom=1.5", "#%E0%A4%A", "#zoom=1e3"]:
        page.page.evaluate("hash => { location.hash = hash }", nonsense)
        page.settle()
        check(f"nonsense is ignored: {nonsense}", page.path(), ["all"])
    page.press("Escape")


def appearance(browser, url):
    dark = Page(browser, url, color_scheme="dark")
    check("dark where the system is", (dark.background(), dark.pixel(80, 8)), ("rgb(22, 24, 29)", [22, 24, 29]))
    dark.screenshot("dark")
    dark.press("t")
    check("and light by choice", (dark.background(), dark.pixel(80, 8), dark.fragment()), ("rgb(255, 255, 255)", [255, 255, 255], "#theme=light"))
    dark.press("Escape")
    check("a chosen theme outlives a reset", dark.fragment(), "#theme=light")
    dark.page.set_viewport_size({"width": 700, "height": 420})
    dark.settle()
    check("the graph follows the window", dark.page.evaluate("graph.width === graph.clientWidth && graph.clientWidth === 700"), True)
    check("  and its frames too", dark.hover(20, 4)[0], "parse_json")
    dark.close()
    sharp = Page(browser, url, device_scale_factor=2)
    check("as sharp as the screen", sharp.page.evaluate("[graph.width, graph.clientWidth]"), [2400, 1200])
    check("  and as wide", sharp.hover(50, 4)[0], "vfs_read")
    sharp.close()


def special(browser):
    deep = Page(browser, draw("deep", "app;" + ";".join(f"f{i}" for i in range(3000)) + " 1\n", "--unit", "ns"))
    check("deep stacks start at the root", deep.hover(50, 2), ["f0", "self 0 ns (0%)", "total 1 ns (100.00%)"])
    deep.press(*["Tab"] * 6, *["ArrowUp"] * 100)
    check("and scroll with the selection", (deep.live().split(",")[0], deep.page.evaluate("document.activeElement.id")), ("f97", "graph"))
    deep.close()
    times = Page(browser, draw("times", "app;main 1234567.5\napp;idle 0.5\n", "--unit", "us", "--icicle", "--title", "A </title> & B"))
    check("units and fractions", times.hover(50, 2), ["main", "self 1.23 s (100.00%)", "total 1.23 s (100.00%)"])
    check("small values keep their digits", times.text("#status").split(" · ")[0], "main")
    check("any title", (times.page.title(), times.text("h1")), ("A </title> & B", "A </title> & B"))
    times.close()


TIMES = """
  window.paints = [];
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = callback => request(time => {
    const from = performance.now();
    callback(time);
    if (!callback.isProbe) window.paints.push([performance.now() - from, performance.now()]);
  });
"""

REDRAWS = """() => new Promise(done => {
  const box = graph.getBoundingClientRect(), times = [];
  let last = 0;
  const step = now => {
    if (last) times.push(now - last);
    last = now;
    if (times.length === 120) { done(times.slice(5)); return; }
    const y = times.length % 2 ? box.bottom - 9 : box.bottom - 27;
    graph.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + 600, clientY: y }));
    requestAnimationFrame(step);
  };
  step.isProbe = true;
  requestAnimationFrame(step);
})"""


def many_stacks(nodes):
    """A tree of so many nodes, wide and deep, the same in every run."""
    numbers = random.Random(1)
    names = [f"{numbers.choice(['std::', 'Swift.', 'do_', ''])}function_{index}" for index in range(4000)]
    stacks = [["server"], ["worker"]]
    lines = []
    while len(stacks) < nodes:
        caller = stacks[numbers.randrange(max(0, len(stacks) - 2000), len(stacks)) if numbers.random() < 0.5 else numbers.randrange(len(stacks))]
        if len(caller) < 80:
            stacks.append([*caller, f"{numbers.choice(names)}_{len(stacks) % 7}"])
            lines.append(";".join(stacks[-1]) + f" {numbers.randrange(1, 50)}")
    return "\n".join(lines) + "\n"


def painting(browser, label, folded):
    """Printed, not checked: a figure of the machine as much as of the page."""
    url = draw(label, folded)
    first = []
    for _ in range(3):
        context = browser.new_context(viewport={"width": 1600, "height": 900})
        page = context.new_page()
        page.add_init_script(TIMES)
        page.goto(url)
        page.wait_for_function("paints.length > 0")
        first.append(page.evaluate("paints[0][1]"))
        page.evaluate("paints.length = 0")
        frames = page.evaluate(REDRAWS)
        paints = [paint for paint, _ in page.evaluate("paints")]
        page.keyboard.press("/")
        page.keyboard.type("function_1")
        page.wait_for_function("matched.textContent.includes('%')")
        page.evaluate("paints.length = 0")
        page.evaluate(REDRAWS)
        searched = [paint for paint, _ in page.evaluate("paints")]
        page.screenshot(path=SCREENSHOTS / f"{label}.png")
        context.close()
    size = (OUTPUT / f"{label}.html").stat().st_size / 1e6
    print(f"  {label} ({size:.1f} MB): first paint {min(first):.0f} ms after navigation; redraw {statistics.median(paints):.1f} ms median, "
          f"{max(paints):.1f} ms longest; frame {statistics.median(frames):.1f} ms median; with a search {statistics.median(searched):.1f} ms, {max(searched):.1f} ms longest")


with sync_playwright() as playwright:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    small = draw("small", SMALL, "--title", "A small profile")
    page = Page(browser, small)
    check("title", (page.page.title(), page.text("h1")), ("A small profile", "A small profile"))
    check("before anything is selected", page.text("#status"), "100 samples in all, 14 frames")
    for part in (tooltips, searching, zooming, keyboard, remembering):
        part(page)
    page.close()
    appearance(browser, small)
    special(browser)
    painting(browser, "nodes-200000", many_stacks(200_000))
    browser.close()

print(f"{failures} failed" if failures else "all as expected")
sys.exit(1 if failures else 0)
