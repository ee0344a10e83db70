"""The agent's page in headless Chromium, over the synthetic profiles of Tests/AgentServerTests/Synthetic.swift.

Usage: agent.py PORT, where PORT serves a synthetic hour, the next one the same to who has the token, and the next an agent that has just
begun. Exit status 1 when anything differs. Screenshots stay in .build-web/screenshots.
"""

import gzip
import pathlib
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request

from axe_core_python.sync_playwright import Axe
from checks import check, finish, launch, stops
from playwright.sync_api import TimeoutError, expect, sync_playwright

PORT = int(sys.argv[1])
URL, GUARDED, YOUNG = (f"http://localhost:{PORT + place}/" for place in range(3))
TOKEN = "0123456789abcdef"
SCREENSHOTS = pathlib.Path(".build-web/screenshots").resolve()
SCREENSHOTS.mkdir(parents=True, exist_ok=True)
# Web has 100 samples in each window of 10 s, a hostile name 7, db 20 in even minutes; nothing was measured from minute 20 to 30. The
# first window of minute 40 lasted 4 s and lost 3 events.
HOUR = 1767225600
SPAN = f"?from={HOUR}&to={HOUR + 3600}"
HOSTILE = '</script><b>"x"'
PATIENCE = 30_000


def wait_for_server():
    for _ in range(240):
        try:
            return urllib.request.urlopen(f"{YOUNG}healthz").read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.25)
    sys.exit(f"no server at {YOUNG}: see .build-web/agent.log")


class Page:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser, query, url=URL, prepare=lambda page: None, **options):
        self.context = browser.new_context(**{
            "viewport": {"width": 1400, "height": 800}, "color_scheme": "light", "timezone_id": "UTC", "locale": "en-GB", **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        # A complaint is forgiven that has one of the texts, about an address that has the other.
        self.requests, self.complaints, self.forgiven = [], [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complain(message.text, message.location["url"]))
        self.page.on("pageerror", lambda error: self.complain(str(error), ""))
        prepare(self.page)
        self.page.goto(url + query)

    def complain(self, text, address):
        # Reading pixels is what this test does, not the page.
        if "willReadFrequently" not in text:
            self.complaints.append((text, address))

    def eventually(self, what, read, expected):
        """Checks what comes with another answer than the profile's, sooner or later."""
        end = time.monotonic() + PATIENCE / 1000
        while (actual := read()) != expected and time.monotonic() < end:
            self.page.wait_for_timeout(20)
        check(what, actual, expected)

    def wait(self, what, selector, text):
        """Checks that an element says something, sooner or later."""
        locator = self.page.locator(selector)
        try:
            expect(locator).to_have_text(text, timeout=PATIENCE)
        except AssertionError:
            pass
        actual = " ".join(locator.text_content().split())
        check(what, actual if not isinstance(text, re.Pattern) else text.fullmatch(actual) and text, text)

    def total(self, what, samples):
        self.wait(what, "#status", re.compile(rf"{samples:,} samples in all, .*"))

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def query(self):
        return re.sub(r"^[^?#]*\??", "", self.page.url.split("#")[0])

    def drag(self, start, end, selector="#timeline", shift=False):
        """Between parts of the timeline's width."""
        box = self.page.locator(selector).bounding_box()
        at = lambda part: (box["x"] + box["width"] * part, box["y"] + 60)
        if shift:
            self.page.keyboard.down("Shift")
        self.page.mouse.move(*at(start))
        self.page.mouse.down()
        self.page.mouse.move(*at(end), steps=4)
        self.page.mouse.up()
        if shift:
            self.page.keyboard.up("Shift")

    def services(self):
        """The table of the timeline's answer, without waiting for it."""
        return [row.split("\t") for row in self.page.locator("#services tbody tr").all_inner_texts()]

    def rows(self, count):
        """The first rows of the table of functions."""
        expect(self.page.locator("#rows-content .row").first).to_be_visible()
        return [re.sub(r"\s+", " ", row) for row in self.page.locator("#rows-content .row").all_inner_texts()[:count]]

    def pixel(self, part, y, canvas="timeline"):
        """A canvas' color at a part of its width, once what was asked for is painted."""
        return self.page.evaluate("""([part, y, id]) => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
            const canvas = document.getElementById(id), ratio = devicePixelRatio;
            done([...canvas.getContext("2d").getImageData(part * canvas.width, y * ratio, 1, 1).data].slice(0, 3));
        })))""", [part, y, canvas])

    def screenshot(self, name):
        self.page.screenshot(path=SCREENSHOTS / f"agent-{name}.png")

    def close(self, what):
        """Nothing came from elsewhere, and nothing was complained of."""
        check(f"{what}: no request leaves", {url for url in self.requests if not url.startswith("http://localhost:") and url != "data:,"}, set())
        left = [(text, address) for text, address in self.complaints
                if not any(kind in text and part in address for kind, part in self.forgiven)]
        check(f"{what}: no complaints, none of the policy", left, [])
        self.context.close()


def overview(browser):
    page = Page(browser, SPAN)
    # 300 windows of 107 samples, and 150 of them with 20 more.
    page.total("the whole hour", 35_100)
    page.eventually("the table", lambda: [[row[0].strip(), *row[1:]] for row in page.services()],
                    [["web", "30,000", "85.5%"], ["db", "3,000", "8.5%"], [HOSTILE + "\u2028\\", "2,100", "6.0%"]])
    check("the range", page.text("#chosen-range").endswith("00:00:00 – 01:00:00"), True)
    page.eventually("what is missing is told", lambda: page.text("#missing"), "10.1 min not measured, 3 events lost")
    page.eventually("web at the bottom", lambda: page.pixel(0.1, 100), [76, 120, 184])
    check("a gap is no value", page.pixel(0.4, 100) != [76, 120, 184], True)
    check("a loss is red", page.pixel(2400 / 3600 + 0.001, 114), [179, 38, 30])
    check("a short gap has a mark", page.pixel(2400 / 3600 + 0.001, 15), [22, 24, 29])
    page.screenshot("overview")
    page.page.locator("#timeline").hover(position={"x": 100, "y": 60})
    check("a step's values", re.fullmatch(r".*00:0\d:\d0 – 00:0\d:\d0: 0\.1[02]7 CPUs · web 0\.1 CPUs, .*", page.text("#timeline-about")) is not None, True)

    page.drag(0, 0.0999)
    # Six minutes: 36 windows of 107, and 18 with 20 more.
    page.total("a dragged range", 4_212)
    check("  in the address", page.query(), f"{SPAN[1:]}&at={HOUR}-{HOUR + 360}")
    page.eventually("  in the table", lambda: [row[1:] for row in page.services()[:1]], [["3,600", "85.5%"]])
    page.page.locator("#services button", has_text="db").click()
    page.total("only one service", 360)
    check("  as a condition", page.page.locator("#match").input_value(), '{service="db"}')
    page.page.locator("#services button", has_text="db").click()
    page.total("  and back", 4_212)
    page.page.locator("#match").fill(f'{{service="{HOSTILE}'.replace('"x"', '\\"x\\"'))
    page.press("Enter")
    page.wait("a wrong selector", "#problem", "the selector is wrong at character 10: this quote is not closed")
    check("  is marked", page.page.locator("#match").get_attribute("aria-invalid"), "true")
    # Of the profile, and of the timeline, whose answer may come later.
    page.forgiven.append(("400", "script"))
    page.page.go_back()
    page.total("  and left by going back", 4_212)
    expect(page.page.locator("#problem")).to_be_hidden()
    page.page.locator("#match").fill('{service="nothing"}')
    page.press("Enter")
    page.page.locator("#empty button", has_text="Show all series").click()
    page.total("series that there are not have a way out", 4_212)
    page.close("overview")


def views(browser):
    """Table and sandwich of the shared view."""
    page = Page(browser, SPAN)
    page.total("the graph", 35_100)
    check("the functions", page.rows(3), ["30,000 85.47% ±0.38% 30,000 85.47% handle", "3,000 8.55% ±0.30% 3,000 8.55% db",
                                          f"2,100 5.98% ±0.25% 2,100 5.98% {HOSTILE} \\"])
    page.page.locator("#rows-content .row", has_text="handle").click()
    page.wait("a function searched", "#matched", "85.47% matched")
    page.press("s")
    expect(page.page.locator("#sandwich")).to_be_visible()
    page.wait("its sandwich", "#center", "handle self 30,000 samples (85.47%) · total 30,000 samples (85.47%)")
    page.screenshot("sandwich")
    page.press("f", "l")
    expect(page.page.locator("#functions")).to_be_hidden()
    page.press("l", "Escape")
    check("the names are text", page.page.locator("b:text('x')").count(), 0)
    page.close("views")


def comparing(browser):
    page = Page(browser, f"{SPAN}&at={HOUR + 60}-{HOUR + 120}")
    page.total("an odd minute", 642)
    page.drag(0, 0.0166, shift=True)
    page.wait("compared with the minute before", "#chosen-range", re.compile(r".*00:01:00 – 00:02:00, compared with .*00:00:00 – 00:01:00"))
    expect(page.page.locator("#colors")).to_contain_text("Color: change")
    check("  in the address", page.query(), f"{SPAN[1:]}&at={HOUR + 60}-{HOUR + 120}&before={HOUR}-{HOUR + 60}")
    # 600 of 642 after 600 of 762; db had 120 of them; 42 of 642 after 42 of 762.
    page.total("  its total is of the range", 642)
    check("  changes of shares, and whether they are beyond noise", sorted(page.rows(3)), [
        "15.75% 0.00% −15.75% ±4.49% ● −15.75% db", f"5.51% 6.54% +1.03% ±3.81% +1.03% {HOSTILE} \\",
        "78.74% 93.46% +14.72% ±5.66% ● +14.72% handle"])
    check("  the legend of swtrace diff", page.text("#legend").split("\n"), ["grew", "shrank", "no change beyond noise"])
    page.screenshot("difference")
    page.press("d")
    expect(page.page.locator("#colors")).not_to_contain_text("Color: change")
    check("no longer compared", page.query(), f"{SPAN[1:]}&at={HOUR + 60}-{HOUR + 120}")

    page.press("d")
    check("the chosen range is the earlier one", page.query(), f"{SPAN[1:]}&before={HOUR + 60}-{HOUR + 120}")
    page.drag(0.5, 0.5166)
    page.wait("  of the next one", "#chosen-range", re.compile(r".*00:30:00 – 00:31:00, compared with .*00:01:00 – 00:02:00"))
    for name, shift in (("-1h", 3600), ("-1d", 86400), ("-1w", 604800), ("span", 60)):
        with page.page.expect_request(lambda request: "/difference" in request.url) as asked:
            page.page.locator("#compare").select_option(name)
        check(f"compared with {name}", re.search(r"before_from=(\d+)&before_to=(\d+)", asked.value.url).groups(),
              (str(HOUR + 1800 - shift), str(HOUR + 1860 - shift)))
    page.page.locator("#compare").select_option("-1h")
    page.wait("  says so", "#chosen-range", re.compile(r".*00:30:00 – 00:31:00, compared with .*23:30:00 – .*23:31:00"))
    expect(page.page.locator("#status")).to_contain_text("762 samples")
    page.press("Escape")
    page.page.locator("#timeline").focus()
    page.press("Backspace")
    page.total("the whole hour with the one before", 35_100)
    check("  as a dashed line", page.query(), f"{SPAN[1:]}&before=-1h")
    page.screenshot("hour-before")
    # Between the minutes 20 and 30 nothing was measured.
    page.page.goto(f"{URL}{SPAN}&at={HOUR}-{HOUR + 60}&before={HOUR + 1300}-{HOUR + 1400}")
    page.wait("nothing to compare with", "#comparison-about",
              re.compile(r"Nothing was measured from .*00:21:40 – 00:23:20: there is nothing to compare with\."))
    page.close("comparing")


def heatmap(browser):
    page = Page(browser, f"{SPAN}&over=heatmap")
    page.wait("what a cell is", "#over-about", "Each column is a minute, from top to bottom, in steps of 10 s.")
    # 60 columns of 15 px, of 6 cells of 19 px.
    page.page.locator("#heatmap").hover(position={"x": 22, "y": 40})
    page.wait("a cell", "#timeline-about", re.compile(r".*00:01:20 – 00:01:30: 0\.107 CPUs"))
    page.page.locator("#heatmap").hover(position={"x": 25 * 15 + 7, "y": 40})
    page.wait("  that was not measured", "#timeline-about", re.compile(r".*00:25:20 – 00:25:30: not measured"))
    colors = [page.pixel((15 * column + 7) / page.page.locator("#heatmap").bounding_box()["width"], 60, "heatmap") for column in (0, 1, 25)]
    check("  their colors", (colors[0] != colors[1], colors[2]), (True, [255, 255, 255]))
    page.screenshot("heatmap")
    page.page.locator("#heatmap").click(position={"x": 22, "y": 40})
    page.total("a column", 642)
    check("  in the address", page.query(), f"{SPAN[1:]}&over=heatmap&at={HOUR + 60}-{HOUR + 120}")
    box = page.page.locator("#heatmap").bounding_box()
    page.page.mouse.move(box["x"] + 7, box["y"] + 4 * 19 + 5)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 22, box["y"] + 5, steps=3)
    page.page.mouse.up()
    # From the fifth window of minute 0 to the first of minute 1.
    page.total("cells from column to column", 2 * 127 + 107)
    page.page.locator("#heatmap").focus()
    page.press("Home", "Enter")
    page.total("by keys", 762)
    page.press("ArrowDown", "Shift+ArrowDown")
    page.total("  some cells", 254)
    page.press("Backspace")
    page.total("  all", 35_100)
    page.press("v")
    page.wait("v leads on", "#over-metrics[aria-pressed=true]", "Metrics")
    page.close("heatmap")


def metrics(browser):
    page = Page(browser, f"{SPAN}&over=metrics")
    # A value for each sample: 1,024 ns and its doubles, up to the ninth.
    page.wait("a histogram in all", "#quantiles", re.compile(r"p50 ≈ 1[56].* · p90 ≈ 2.. µs · p99 ≈ [45].. µs · most 512 µs · 35,100 values"))
    page.eventually("  by service", lambda: [[row[0].strip(), *row[1:]] for row in page.services()][:2],
                    [["web", "30,000", "498 µs"], ["db", "3,000", "498 µs"]])
    check("  what it is", page.text("#over-about"), "How long tasks that could run waited for a processor.")
    page.screenshot("metrics")
    page.page.locator("#timeline").hover(position={"x": 1, "y": 60})
    page.wait("a step", "#timeline-about", re.compile(r".*00:00:00 – 00:00:10: p50 .* µs · p90 .* µs · p99 .* µs · most 512 µs · 127 values"))
    page.drag(0, 0.0999)
    page.wait("a chosen range", "#quantiles", re.compile(r".* · 4,212 values"))
    page.total("  has its profile", 4_212)
    check("  and its histogram a name", "4,212 values" in page.page.locator("#histogram").get_attribute("aria-label"), True)
    page.page.locator("#services button", has_text="db").click()
    page.wait("only one service", "#quantiles", re.compile(r".* · 360 values"))
    page.total("  also of the profile", 360)
    page.page.locator("#metric").select_option("swtrace_page_faults")
    page.wait("a counter", "#over-about", "Page faults that were resolved; major ones waited for a file or for swap.")
    page.eventually("  counts", lambda: [page.services(), page.page.locator("#histogram").is_visible()], [[["db", "360", "100.0%"]], False])
    page.page.reload()
    page.wait("the address brings it back", "#over-about", "Page faults that were resolved; major ones waited for a file or for swap.")
    check("  all of it", page.query(), f"match=%7Bservice%3D%22db%22%7D&{SPAN[1:]}&over=metrics&metric=swtrace_page_faults&at={HOUR}-{HOUR + 360}")
    page.page.locator("#metric").select_option("swtrace_block_io_latency_seconds")
    page.wait("a metric without services", "#over-about",
              "How long disks took for requests, from the driver to the completion. It has none of the labels service.")
    page.total("  leaves the profile's conditions", 360)
    page.close("metrics")


def keyboard(browser):
    page = Page(browser, SPAN)
    page.total("by keys only", 35_100)
    page.eventually("  with the services", lambda: len(page.services()), 3)
    found = stops(page.page)
    names = [stop[0] for stop in found]
    check("Tab goes through everything", names, [
        "type", "span", "match", "go-live", "compare", "save-pprof", "save-folded", "link", "show-health", "timeline", "over-timeline", "over-heatmap",
        "over-metrics", "by", "web", "db", f"{HOSTILE}\u2028\\", "show-flame", "show-sandwich", "search", "colors", "flip", "table", "theme", "reset", "show-help",
        "filter-process", "all", "graph", "Self", "Self %", "±", "Total", "Total %", "Function", "rows"])
    check("  each with a name and visible focus", [stop for stop in found if not (stop[1] and stop[2])], [])
    page.page.locator("#timeline").focus()
    page.press("Home", "ArrowLeft", "Home")
    check("a step is said", page.text("#said"), page.page.evaluate("document.getElementById('timeline-about').textContent"))
    page.press("Enter")
    page.total("Enter chooses it", 127)
    page.press("Shift+ArrowRight")
    page.total("Shift and an arrow choose more", 254)
    page.press("+")
    check("+ shows the chosen range alone", page.query(), f"from={HOUR}&to={HOUR + 60}&at={HOUR}-{HOUR + 20}")
    page.press("-")
    check("- shows more", page.query(), f"from={HOUR - 30}&to={HOUR + 90}&at={HOUR}-{HOUR + 20}")
    page.press(".")
    check(". shows later", page.query(), f"from={HOUR + 30}&to={HOUR + 150}&at={HOUR}-{HOUR + 20}")
    page.press("h")
    expect(page.page.locator("#health")).to_be_visible()
    text = page.text("#health-content")
    check("the agent's health", [word in text for word in (
        "the frequency was halved", "running, 19 samples a second on each processor, 48 events, 5 lost", "5 (10.4%)", "1% of a processor", "4 KiB of 8.02 KiB", "Windows dropped\n2", "7 (14.6%)")], [True] * 7)
    page.screenshot("health")
    page.press("Escape", "?")
    expect(page.page.locator("#help")).to_be_visible()
    check("? lists the agent's keys", "follow the present, or pause" in page.text("#help"), True)
    page.press("Escape", "m")
    check("m leads to the conditions", page.page.evaluate("document.activeElement.id"), "match")
    page.press("Tab", "D")
    check("D leads to what to compare with", page.page.evaluate("document.activeElement.id"), "compare")
    page.page.locator("#graph").focus()
    page.press("r")
    page.wait("r follows the present", "#go-live[aria-pressed=true]", "Live")
    check("  of the last quarter of an hour", page.query(), "")
    page.press("r")
    check("  and pauses", page.query(), "live=0")
    page.close("keyboard")


def addresses(browser):
    """Reload, share and the back button show the very same."""
    page = Page(browser, SPAN)
    page.total("before any change", 35_100)
    page.drag(0, 0.0999)
    page.total("a range", 4_212)
    page.page.locator("#services button", has_text="web").click()
    page.total("of a service", 3_600)
    for menu, choice in (("#by", "host"), ("#compare", "span")):
        # The table of services comes with it.
        with page.page.expect_response(lambda response: "/api/v1/timeline" in response.url and "by=host" in response.url):
            page.page.locator(menu).select_option(choice)
    expect(page.page.locator("#colors")).to_contain_text("Color: change")
    page.page.locator("#graph").focus()
    page.press("i", "t", "b", "/")
    page.page.keyboard.type("handle")
    page.press("Enter", "Enter")
    page.wait("zoomed", "#path", "all›web›main›handle")
    shot = """() => ["query", "chosen-range", "status", "path", "matched", "services", "legend", "basis", "flip", "theme", "rows-content"].map(id =>
        id === "query" ? location.search + location.hash : document.getElementById(id).innerText)"""
    page.page.mouse.move(0, 0)
    seen = page.page.evaluate(shot)
    check("everything is in the address", seen[0], f"?match=%7Bservice%3D%22web%22%7D&by=host&{SPAN[1:]}&at={HOUR}-{HOUR + 360}&before=span"
          "#theme=dark&function=3&basis=before&search=handle&view=icicle&zoom=3&selected=3")
    for name, again in (("reload", page), ("share", Page(browser, seen[0]))):
        if name == "reload":
            page.page.reload()
        again.wait(f"{name} shows the same", "#path", "all›web›main›handle")
        expect(again.page.locator("#matched")).to_have_text(seen[4])
        expect(again.page.locator("#rows-content .row").first).to_be_visible()
        again.eventually("  all of it", lambda: again.page.evaluate(shot), seen)
    again.close("share")
    page.page.locator("#timeline").focus()
    page.press("Backspace")
    page.wait("no range", "#chosen-range", re.compile(r".*00:00:00 – 01:00:00, compared with .*"))
    page.page.go_back()
    page.wait("back to the range", "#chosen-range", re.compile(r".*00:00:00 – 00:06:00, compared with .*"))
    page.page.go_forward()
    page.wait("and forward", "#chosen-range", re.compile(r".*00:00:00 – 01:00:00, compared with .*"))
    page.page.goto(URL)
    expect(page.page.locator("#status")).to_contain_text("samples in all")
    href = page.page.locator("#link").get_attribute("href")
    times = [int(time) for time in re.fullmatch(r"\?from=(\d+)&to=(\d+).*", href).groups()]
    check("a link has fixed times", times[1] - times[0], 900)
    page.close("addresses")


# Each picture on the screen: how many rows the table has, how many colors the middle of the graph, and whether the tooltip is hidden. An
# observer of sizes is called after everything that draws a picture.
WATCH = """() => {
  window.pictures = [];
  const probe = document.body.appendChild(document.createElement("div"));
  probe.style = "position: fixed; width: 1px; height: 1px";
  new ResizeObserver(() => {
    const graph = document.getElementById("graph"), pixels = graph.getContext("2d").getImageData(graph.width / 2, 0, 1, graph.height).data;
    pictures.push([document.querySelectorAll("#rows-content .row").length, new Set(new Uint32Array(pixels.buffer)).size, tooltip.hidden]);
  }).observe(probe);
  const next = () => {
    probe.style.width = probe.style.width === "1px" ? "2px" : "1px";
    requestAnimationFrame(next);
  };
  next();
}"""


# How many questions the page asks at once when it is looked at again. Counted there: here, those that were asked before may come late.
ASKED = """() => {
  let asked = 0;
  const fetch = window.fetch;
  window.fetch = (...all) => {
    asked++;
    return fetch(...all);
  };
  document.dispatchEvent(new Event("visibilitychange"));
  window.fetch = fetch;
  return asked;
}"""


def live(browser):
    ranges = [HOUR, HOUR + 360]

    def fixed(route):
        route.continue_(url=re.sub("from=-15m&to=now", f"from={ranges[0]}&to={ranges[1]}", route.request.url))
    page = Page(browser, "", prepare=lambda page: page.route("**/api/v1/*", fixed))
    page.total("live", 4_212)
    # Their table has its place beside the graph.
    page.eventually("  with the services", lambda: len(page.services()), 3)
    page.page.evaluate("document.body.dataset.same = 'yes'")
    box = page.page.locator("#graph").bounding_box()
    # Web is the widest and last.
    page.page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] - 3 * 18 + 9)
    page.page.mouse.click(box["x"] + box["width"] * 0.6, box["y"] + box["height"] - 4 * 18 + 9)
    page.wait("zoomed", "#path", "all›web›main›handle")
    page.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] - 4 * 18 + 9)
    expect(page.page.locator("#tooltip")).to_be_visible()
    expect(page.page.locator("#tooltip")).to_contain_text("3,600 samples")
    page.page.evaluate(WATCH)
    ranges[1] = HOUR + 720
    # As after a new window.
    page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.page.locator("#tooltip")).to_contain_text("7,200 samples")
    page.wait("the zoom stays", "#path", "all›web›main›handle")
    pictures = page.page.evaluate("pictures")
    check("nothing flickers", [picture for picture in pictures if not (picture[0] > 0 and picture[1] > 1 and not picture[2])], [])
    check("the page is the same", page.page.evaluate("document.body.dataset.same"), "yes")
    # The change itself asks once more, all at the same time.
    with page.page.expect_response(lambda response: "/api/v1/health" in response.url):
        page.press("r")
    check("paused", (page.query(), page.page.evaluate(ASKED)), ("live=0", 0))
    page.close("live")

    page = Page(browser, "", prepare=lambda page: page.clock.install())
    expect(page.page.locator("#status")).to_contain_text("samples in all")
    with page.page.expect_request(lambda request: "/api/v1/timeline" in request.url):
        page.page.clock.fast_forward(13_000)
    check("it reads anew by itself", True, True)
    page.close("live clock")

    page = Page(browser, "", url=YOUNG)
    page.wait("an agent that has just begun", "#empty",
              "The agent measures since a moment ago. The first window takes up to ten seconds; it is shown here by itself.")
    page.screenshot("first")
    expect(page.page.locator("#empty")).to_be_hidden(timeout=PATIENCE)
    check("shows its first window by itself", page.text("#status").startswith("0 "), False)
    page.close("first window")

    def measures_no_profile(page):
        def answer(route, change):
            body = route.fetch().json()
            change(body)
            route.fulfill(json=body)
        page.route("**/api/v1/health", lambda route: answer(route, lambda health: (health.update(profiles=[]), health["store"].update(extents={}))))
        page.route("**/api/v1/probes", lambda route: answer(route, lambda all: [probe.update(name="run_queue") for probe in all["probes"]]))
    page = Page(browser, "?from=100&to=200&type=off_cpu", prepare=measures_no_profile)
    page.wait("an agent that measures metrics only", "#empty",
              "Off CPU was never measured here. Where it is turned off, off_cpu.threshold in the agent's configuration turns it on.")
    # It asks again each second: an answer that is being changed must not outlive the page.
    page.page.unroute_all(behavior="wait")
    page.close("metrics only")


def troubles(browser):
    page = Page(browser, SPAN)
    page.total("all is well", 35_100)
    page.context.set_offline(True)
    page.drag(0, 0.0999)
    page.wait("no answer", "#problem", "the agent does not answer: is it still running? This page asks again every 5 seconds")
    page.context.set_offline(False)
    page.total("asked again", 4_212)
    expect(page.page.locator("#problem")).to_be_hidden()
    refused = []

    def refuse(route):
        if refused:
            return route.continue_()
        refused.append(route.request.url)
        route.fulfill(status=429, headers={"Retry-After": "1"}, json={"error": "busy"})
    page.page.route("**/api/v1/profile*", refuse)
    page.page.locator("#timeline").focus()
    page.press("Backspace")
    page.total("a busy agent is asked again", 35_100)
    check("  after it refused", len(refused), 1)
    page.page.goto(f"{URL}?from=100&to=200&type=off_cpu")
    page.wait("what was never measured", "#empty",
              "Off CPU was never measured here. Where it is turned off, off_cpu.threshold in the agent's configuration turns it on.")
    page.forgiven += [("ERR_INTERNET_DISCONNECTED", ""), ("429", "")]
    page.close("troubles")


def token(browser):
    page = Page(browser, SPAN, url=GUARDED)
    expect(page.page.locator("#token-dialog")).to_be_visible()
    check("nothing without the token", page.page.locator("#status").count(), 0)
    page.page.keyboard.type("wrong")
    page.press("Enter")
    page.wait("a wrong token", "#token-about", "The agent did not accept this token.")
    page.screenshot("token")
    page.page.keyboard.type(TOKEN)
    page.press("Enter")
    page.total("with the token", 35_100)
    page.page.reload()
    page.total("which this tab keeps", 35_100)
    check("  and no other", page.page.evaluate("[localStorage.length, document.cookie, sessionStorage.length]"), [0, "", 1])
    with page.page.expect_download() as download:
        page.page.locator("#save-folded").click()
    check("what is saved", (download.value.suggested_filename, "web;main;handle 30000" in pathlib.Path(download.value.path()).read_text()),
          ("profile.folded", True))
    with page.page.expect_download() as download:
        page.page.locator("#save-pprof").click()
    check("  as pprof", b"samples" in gzip.decompress(pathlib.Path(download.value.path()).read_bytes()), True)
    check("the token is in no address", [url for url in page.requests if TOKEN in url], [])
    page.forgiven.append(("401", ""))
    page.close("token")


def appearance(browser):
    page = Page(browser, SPAN, color_scheme="dark")
    page.total("dark", 35_100)
    background = "getComputedStyle(document.body).backgroundColor"
    check("the page", page.page.evaluate(background), "rgb(22, 24, 29)")
    check("the timeline", (page.pixel(0.1, 100), page.pixel(0.5, 5)), ([111, 154, 216], [22, 24, 29]))
    page.screenshot("dark")
    page.press("t")
    check("t turns it light", page.page.evaluate(background), "rgb(255, 255, 255)")
    check("  and the timeline", page.pixel(0.1, 100), [76, 120, 184])
    page.page.set_viewport_size({"width": 420, "height": 800})
    check("a narrow window is not scrolled sideways", page.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), True)
    page.close("appearance")


def accessibility(browser):
    for scheme in ("light", "dark"):
        page = Page(browser, f"{SPAN}&at={HOUR}-{HOUR + 360}", color_scheme=scheme)
        page.total(f"accessible, {scheme}", 4_212)
        expect(page.page.locator("#rows-content .row").first).to_be_visible()
        for name, keys in (("overview", []), ("health", ["h"]), ("help", ["Escape", "?"]), ("sandwich", ["Escape", "s"]),
                           ("heatmap", ["f", "v"]), ("metrics", ["v"]), ("difference", ["v", "d"])):
            page.press(*keys)
            violations = Axe().run(page.page)["violations"]
            check(f"  {name}", [(found["id"], [node["html"][:120] for node in found["nodes"]]) for found in violations], [])
        page.close(f"accessible, {scheme}")


def interface():
    """The query interface keeps what its description promises, whatever it is asked: errors are 4xx, answers as described."""
    # Which text is a time or a selector is not a matter of types. Profiles of what comes take as long as they are asked for.
    run = subprocess.run([
        pathlib.Path(sys.executable).parent / "schemathesis", "--no-color", "run", f"{GUARDED}api/v1/openapi.json", "--max-examples", "15", "--seed", "1",
        "--header", f"Authorization: Bearer {TOKEN}", "--generation-deterministic", "--phases", "examples,coverage,fuzzing",
        "--exclude-method", "POST", "--exclude-path", "/debug/pprof/profile", "--exclude-checks", "positive_data_acceptance"],
        cwd=SCREENSHOTS.parent, capture_output=True, text=True)
    tested = re.search(r"Tested: (\d+)", run.stdout)
    check("the query interface as described", (run.returncode, tested is not None and int(tested[1]) >= 13), (0, True))
    if run.returncode:
        print(run.stdout)


expect.set_options(timeout=PATIENCE)
wait_for_server()
interface()
with sync_playwright() as playwright:
    chromium = launch(playwright)
    for part in (overview, views, comparing, heatmap, metrics, keyboard, addresses, live, troubles, token, appearance, accessibility):
        try:
            part(chromium)
        except (AssertionError, TimeoutError) as error:
            check(f"{part.__name__} goes to its end", str(error).split("\n")[0], None)
    chromium.close()
finish("page")
