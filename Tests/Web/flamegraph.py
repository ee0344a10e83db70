"""The flame graph's page in headless Chromium: every feature by its numbers, and how long painting takes.

Usage: flamegraph.py SWTRACE. Exit status 1 when anything differs. Screenshots stay in .build-web/screenshots.
"""

import pathlib
import random
import re
import statistics
import subprocess
import sys

from checks import check, finish, launch, stops
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

def perf_script():
    """Two seconds at 100 Hz, 10 s after the start: a server's main thread works, its worker reads, and another process sleeps."""
    kernel, libc, server = "([kernel.kallsyms])", "(/usr/lib/libc.so.6)", "(/usr/bin/server)"
    kinds = [
        ("server 100/100", f"work {server}", f"main {server}"),
        ("server 100/100", f"work {server}", f"main {server}"),
        ("worker 100/101", f"vfs_read {kernel}", f"read {libc}", f"main {server}"),
        ("cron 200/200", f"nanosleep {libc}", "main (/usr/sbin/cron)"),
    ]
    text = ""
    for index in range(200):
        who, *frames = kinds[index % 4]
        text += f"{who} [000] {10 + index / 100:.6f}: cycles:\n" + "".join(f"\t1234 {frame}\n" for frame in frames) + "\n"
    return text


def draw(name, folded, *options):
    """The page of a profile: folded stacks or the text of perf script."""
    path = OUTPUT / f"{name}.html"
    command = [SWTRACE, "flamegraph", "-", "--format", "html", "-o", path, *options]
    subprocess.run(command, input=folded.encode(), check=True)
    return f"file://{path}"


def compare(name, before, after):
    """The page that compares two folded profiles."""
    files = [OUTPUT / f"{name}-{side}.folded" for side in ("before", "after")]
    for file, folded in zip(files, (before, after)):
        file.write_text(folded)
    subprocess.run([SWTRACE, "diff", *files, "-o", OUTPUT / f"{name}.html"], check=True)
    return f"file://{OUTPUT / name}.html"


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
        """Until what was asked for is painted, and the table filled that comes after the first picture."""
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))")

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def point(self, percent, depth):
        box = self.page.locator("#graph").bounding_box()
        is_icicle = self.text("#flip") == "Flame"
        y = (depth + 0.5) * ROW if is_icicle else box["height"] - (depth + 0.5) * ROW
        return box["x"] + percent / 100 * box["width"], box["y"] + y

    def point_in(self, id, percent, depth):
        """The same in the callers' or callees' part of a sandwich."""
        box = self.page.locator(f"#{id}").bounding_box()
        y = (depth + 0.5) * ROW if id == "callees" else box["height"] - (depth + 0.5) * ROW
        return box["x"] + percent / 100 * box["width"], box["y"] + y

    def hover_in(self, id, percent, depth):
        self.page.mouse.move(*self.point_in(id, percent, depth))
        self.settle()
        return self.text("#tooltip").split("\n")

    def click_in(self, id, percent, depth):
        self.page.mouse.click(*self.point_in(id, percent, depth))
        self.settle()

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

    def rows(self):
        """The table's rows in view, each as the texts of its cells."""
        script = "Array.from(document.querySelectorAll('#rows-content .row'), row => Array.from(row.children, cell => cell.textContent.trim()))"
        return self.page.evaluate(script)

    def marked(self):
        return self.page.locator("#rows-content [aria-selected=true] .function").all_inner_texts()

    def choose(self, control, label):
        self.page.locator(control).select_option(label=label)
        self.settle()

    def options(self, control):
        return self.page.locator(f"{control} option").all_inner_texts()

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
    page.page.locator("#path button").last.focus()
    page.press("Tab")
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
    check("the fragment holds it", page.fragment(), "#theme=dark&function=4&search=parse.json&view=icicle&zoom=4&selected=5")
    page.page.reload()
    page.settle()
    check("and brings it back", (page.path(), page.text("#matched"), page.text("#flip"), page.text("#theme"), page.background()), state)
    for nonsense in ["#zoom=999999&view=x&theme=y", "#zoom=-1&search=(", "#zoom=1.5", "#%E0%A4%A", "#zoom=1e3"]:
        page.page.evaluate("hash => { location.hash = hash }", nonsense)
        page.settle()
        check(f"nonsense is ignored: {nonsense}", page.path(), ["all"])
    page.press("Escape")


def table(page):
    rows = page.rows()
    check("the table: own and total values, shares, sampling errors of two standard errors", rows[:4], [
        ["36", "36.00%", "±9.60%", "46", "46.00%", "parse_json"], ["25", "25.00%", "±8.66%", "25", "25.00%", "idle"],
        ["20", "20.00%", "±8.00%", "20", "20.00%", "vfs_readkernel"], ["10", "10.00%", "±6.00%", "10", "10.00%", "allocinlined"]])
    check("  of functions only", [row[5] for row in rows[4:]], ["alloc", 'naïve&"<x>', "main", "handle", "</script><script>alert(1)</script>"])
    page.page.get_by_role("columnheader", name="Total %").get_by_role("button").click()
    check("sorted by total", [row[5] for row in page.rows()[:3]], ["main", "handle", "parse_json"])
    check("  which is said", page.page.get_by_role("columnheader", name="Total %").get_attribute("aria-sort"), "descending")
    page.page.get_by_role("columnheader", name="Function").get_by_role("button").click()
    check("sorted by name", [row[5] for row in page.rows()[:3]], ["</script><script>alert(1)</script>", "allocinlined", "alloc"])
    check("  and in the address", page.fragment(), "#sort=function-up")
    page.page.get_by_role("columnheader", name="Self", exact=True).get_by_role("button").click()
    page.page.get_by_role("row", name="idle").click()
    page.settle()
    check("a click on a row searches", (page.page.locator("#search").input_value(), page.text("#matched")), ("^idle$", "25.00% matched"))
    check("  marks the row and keeps the others", (page.marked(), len(page.rows())), (["idle"], 9))
    check("  and highlights the graph", page.pixel(88, 3), [0xC2, 0x18, 0x5B])
    page.search("alloc|main")
    check("a search narrows the table", [row[5] for row in page.rows()], ["allocinlined", "alloc", "main"])
    page.search("")
    page.click(50, 4)
    check("a selection in the graph marks the row", page.marked(), ["vfs_readkernel"])
    page.press("Escape")
    page.page.locator("#rows").focus()
    page.press("ArrowDown", "ArrowDown", "ArrowDown")
    check("arrows move between rows", page.page.locator("#rows").get_attribute("aria-activedescendant"), "row-2")
    page.press("Enter")
    check("  Enter searches", page.page.locator("#search").input_value(), "^vfs_read$")
    check("  and says the row", page.live(), "vfs_read, Self 20, Self % 20.00%, ± ±8.00%, Total 20, Total % 20.00%")
    page.press("l")
    check("l hides the table", (page.page.locator("#functions").is_visible(), page.fragment()), (False, "#table=off&function=6&search=%5Evfs_read%24"))
    page.press("l", "Escape")


def sandwich(page):
    page.page.get_by_role("row", name="parse_json").click()
    page.page.locator("#show-sandwich").click()
    page.settle()
    page.screenshot("sandwich")
    check("the sandwich's function", page.text("#center"), "parse_json self 36 samples (36.00%) · total 46 samples (46.00%)")
    # Callers: handle 40, main 6; callees: alloc 10, and itself 6.
    check("callers above", [page.hover_in("callers", 40, depth)[0] for depth in range(4)], ["parse_json", "handle", "main", "web server"])
    check("  with what came through them", page.hover_in("callers", 99, 1), ["main", "total 6 samples (6.00%)"])
    check("callees below", [page.hover_in("callees", x, 1)[0] for x in (10, 30)], ["alloc", "parse_json"])
    check("  with their own", page.hover_in("callees", 10, 1), ["alloc", "inlined", "self 10 samples (10.00%)", "total 10 samples (10.00%)"])
    page.click_in("callers", 40, 1)
    check("a click makes another the center", page.text("#center-name"), "handle")
    page.page.go_back()
    page.settle()
    check("back", page.text("#center-name"), "parse_json")
    page.page.locator("#callees canvas").focus()
    page.press("ArrowDown", "ArrowDown", "Enter")
    check("by keyboard too", (page.text("#center-name"), page.marked()), ("alloc", ["allocinlined"]))
    page.press("Backspace")
    page.page.wait_for_function("document.getElementById('center-name').textContent === 'parse_json'")
    page.page.reload()
    page.settle()
    check("the address brings it back", page.text("#center-name"), "parse_json")
    page.press("f")
    check("f shows the whole graph", (page.page.locator("#view").is_visible(), page.page.locator("#sandwich").is_visible()), (True, False))
    page.press("Escape")


def filters(browser):
    page = Page(browser, draw("threads", perf_script(), "--title", "Threads"))
    check("filters that have choices, the dearest first", [page.options(f"#filter-{id}") for id in ("process", "thread", "ran", "module")], [
        ["All processes", "server (100)", "cron (200)"], ["All threads", "server (100)", "worker (101)", "cron (200)"],
        ["Kernel and user", "User code only", "Kernel only"], ["All modules", "server", "[kernel]", "libc.so.6", "cron"]])
    check("nothing is filtered at first", (page.text("#filtered"), page.page.locator("#unfilter").is_visible()), ("", False))
    page.choose("#filter-process", "server (100)")
    check("a process: said, and all follows", (page.text("#filtered"), page.text("#status"), page.rows()[0]),
          ("Filtered: 75.00% of 200 samples", "150 samples in all, 7 frames", ["100", "66.67%", "±7.70%", "100", "66.67%", "workserver"]))
    check("  its threads are offered", page.options("#filter-thread"), ["All threads", "server (100)", "worker (101)"])
    page.choose("#filter-thread", "worker (101)")
    check("a thread", (page.text("#filtered"), [row[-1] for row in page.rows()]),
          ("Filtered: 25.00% of 200 samples", ["vfs_read[kernel], kernel", "mainserver", "readlibc.so.6"]))
    page.choose("#filter-ran", "User code only")
    check("filters combine", (page.text("#filtered"), page.text("#rows")), ("Filtered: 0% of 200 samples", "No function"))
    page.page.locator("#unfilter").click()
    page.settle()
    check("cleared", (page.text("#filtered"), page.fragment()), ("", ""))
    page.choose("#filter-ran", "Kernel only")
    check("the kernel", page.text("#filtered"), "Filtered: 25.00% of 200 samples")
    page.choose("#filter-ran", "User code only")
    page.choose("#filter-module", "libc.so.6")
    check("user code through a module", (page.text("#filtered"), [row[-1] for row in page.rows()]),
          ("Filtered: 25.00% of 200 samples", ["nanosleeplibc.so.6", "maincron"]))
    page.screenshot("filtered")
    state = (page.text("#filtered"), page.rows())
    page.page.reload()
    page.settle()
    check("the address brings filters back", (page.text("#filtered"), page.rows()), state)
    page.page.go_back()
    page.settle()
    check("and the browser's back takes one away", page.text("#filtered"), "Filtered: 75.00% of 200 samples")
    page.press("Escape")
    check("Escape resets filters", page.text("#filtered"), "")
    page.choose("#colors", "Color: module")
    check("modules have colors, named below", page.text("#legend").split("\n"), ["server", "[kernel]", "libc.so.6", "cron"])
    check("  the same for all of a module", page.pixel(90, 2) != page.pixel(90, 3), True)
    page.screenshot("modules")
    page.close()


def heatmap(browser):
    page = Page(browser, draw("times", perf_script(), "--title", "Times"))
    check("the time is there", page.text("#time-about"), "Each column is a second, from top to bottom; drag to choose a time, click to choose a column")
    box = page.page.locator("#heat").bounding_box()
    # 200 samples, 10 ms apart, from 0 s on: columns of 48 pixels, 50 parts of 2 pixels with 2 samples each.
    x, y = box["x"] + 24, box["y"]
    page.page.mouse.move(x, y + 1)
    check("a cell's samples", page.text("#time-cell"), "0 s to 0.02 s: 2 samples")
    page.page.mouse.click(x + 48, y + 30)
    page.settle()
    check("a click chooses a second", (page.text("#filtered"), page.fragment()), ("Filtered to 1 s to 2 s: 50.00% of 200 samples", "#time=1-2"))
    check("  which all follows", (page.text("#status"), page.rows()[0]),
          ("100 samples in all, 10 frames", ["50", "50.00%", "±10.00%", "50", "50.00%", "workserver"]))
    page.page.mouse.move(x, y + 51.5)
    page.page.mouse.down()
    page.page.mouse.move(x + 48, y + 9.5)
    page.page.mouse.up()
    page.settle()
    check("dragging chooses what lies between", (page.text("#filtered"), page.fragment()),
          ("Filtered to 0.5 s to 1.1 s: 30.00% of 200 samples", "#time=0.5-1.1"))
    page.screenshot("heatmap")
    page.choose("#filter-process", "cron (200)")
    check("with the other filters", page.text("#filtered"), "Filtered to 0.5 s to 1.1 s: 7.50% of 200 samples")
    page.page.mouse.move(x, y + 1)
    check("  which the picture follows", page.text("#time-cell"), "0 s to 0.02 s: 0 samples")
    page.page.reload()
    page.settle()
    check("the address brings it back", page.text("#filtered"), "Filtered to 0.5 s to 1.1 s: 7.50% of 200 samples")
    page.page.go_back()
    page.settle()
    check("and so does the browser", page.text("#filtered"), "Filtered to 0.5 s to 1.1 s: 30.00% of 200 samples")
    page.page.locator("#unfilter").click()
    page.page.locator("#heat").focus()
    page.press("ArrowDown", "ArrowRight", "ArrowDown")
    check("arrows move between cells", page.live(), "1.02 s to 1.04 s, 2 samples")
    page.press("Shift+ArrowDown", "Shift+ArrowDown")
    check("with Shift they choose", (page.live(), page.fragment()), ("Time 1.02 s to 1.08 s, 6 samples", "#time=1.02-1.08"))
    page.press("Enter")
    check("Enter chooses the column", page.fragment(), "#time=1-2")
    page.press("Backspace")
    check("Backspace chooses all", (page.live(), page.fragment(), page.text("#filtered")), ("All of the time", "", ""))
    for nonsense in ["#time=2-1", "#time=-1-2", "#time=a", "#time=1e3-2e3", "#process=9&thread=-1&module=x&ran=y&function=99999&sandwich=99999&sort=q"]:
        page.page.evaluate("hash => { location.hash = hash }", nonsense)
        page.settle()
        check(f"nonsense is ignored: {nonsense}", (page.text("#filtered"), page.page.locator("#view").is_visible()), ("", True))
    page.close()
    # What a longer recording has instead of its times.
    many = re.sub(r'(id="times">).*?(</script>)', r'\1{"step":100000,"limit":1000000}\2', (OUTPUT / "times.html").read_text())
    (OUTPUT / "too-many-times.html").write_text(many)
    page = Page(browser, f"file://{OUTPUT}/too-many-times.html#time=0-1")
    check("too many samples for times: said, and nothing filtered",
          (page.text("#time-about"), page.page.locator("#heat").is_visible(), page.text("#filtered")),
          ("More than 1,000,000 samples: their times were not kept. A shorter recording shows them here.", False, ""))
    page.close()


def reachable(browser):
    page = Page(browser, draw("reach", perf_script(), "--title", "Everything by keyboard"))
    found = stops(page.page)
    check("Tab goes through everything", [stop[0] for stop in found], [
        "show-flame", "show-sandwich", "search", "colors", "flip", "table", "theme", "reset", "show-help", "filter-process", "filter-thread",
        "filter-ran", "filter-module", "SUMMARY", "heat", "all", "graph", "Self", "Self %", "±", "Total", "Total %", "Function", "rows"])
    check("  each with a name and visible focus", [stop for stop in found if not (stop[1] and stop[2])], [])
    page.page.locator("#graph").focus()
    page.press("?")
    check("? shows the keys", page.page.evaluate("[help.open, document.activeElement.ariaLabel]"), [True, "Close"])
    page.screenshot("help")
    page.press("i")
    check("  keys wait until it is closed", page.text("#flip"), "Icicle")
    page.press("Escape")
    check("Escape closes it, back to the graph", page.page.evaluate("[help.open, document.activeElement.id]"), [False, "graph"])
    page.page.set_viewport_size({"width": 400, "height": 800})
    page.settle()
    check("nothing is wider than a telephone", page.page.evaluate("document.documentElement.scrollWidth"), 400)
    page.screenshot("narrow")
    page.close()


def comparison(browser):
    before = "app;main;parse 500\napp;main;send 450\napp;main;gone 30\napp;main;same 20\n"
    after = "app;main;parse 800\napp;main;send 150\napp;main;new 28\napp;main;same 22\n"
    page = Page(browser, compare("diff", before, after))
    check("a comparison's table: shares, change, noise of three standard errors", page.rows(), [
        ["50.00%", "80.00%", "+30.00%", "±6.40% ●", "+30.00%", "parse"], ["45.00%", "15.00%", "−30.00%", "±6.15% ●", "−30.00%", "send"],
        ["3.00%", "0.00%", "−3.00%", "±1.63% ●", "−3.00%", "gone"], ["0.00%", "2.80%", "+2.80%", "±1.58% ●", "+2.80%", "new"],
        ["2.00%", "2.20%", "+0.20%", "±1.92%", "+0.20%", "same"], ["0.00%", "0.00%", "+0.00%", "±0.00%", "+0.00%", "main"]])
    check("red grew, blue shrank, gray is noise", [page.pixel(x, 3) for x in (50, 90, 84)], [[240, 90, 80], [90, 150, 245], [225, 225, 225]])
    check("the tooltip has both shares", page.hover(50, 3),
          ["parse", "self 800 samples (80.00%)", "total 800 samples (80.00%)", "before 50.00%, change +30.00%, beyond noise (±6.40%)"])
    page.screenshot("diff")
    page.press("b")
    check("b makes frames as wide as before", (page.hover(2, 3)[0], page.fragment()), ("gone", "#basis=before"))
    page.press("b", "c")
    check("c changes what colors say", (page.text("#legend"), page.fragment()), ("user\nprocess", "#colors=kind"))
    page.close()


def appearance(browser, url):
    dark = Page(browser, url, color_scheme="dark")
    check("dark where the system is", (dark.background(), dark.pixel(80, 8)), ("rgb(22, 24, 29)", [22, 24, 29]))
    dark.screenshot("dark")
    dark.press("t")
    check("and light by choice", (dark.background(), dark.pixel(80, 8), dark.fragment()), ("rgb(255, 255, 255)", [255, 255, 255], "#theme=light"))
    dark.press("Escape")
    check("a chosen theme outlives a reset", dark.fragment(), "#theme=light")
    dark.page.set_viewport_size({"width": 600, "height": 420})
    dark.settle()
    check("the graph follows the window", dark.page.evaluate("[graph.width, graph.clientWidth]"), [600, 600])
    dark.page.locator("#graph").scroll_into_view_if_needed()
    check("  and its frames too", dark.hover(20, 4)[0], "parse_json")
    dark.close()
    sharp = Page(browser, url, device_scale_factor=2)
    check("as sharp as the screen", sharp.page.evaluate("[graph.width / graph.clientWidth, graph.width]"), [2, 1440])
    check("  and as wide", sharp.hover(50, 4)[0], "vfs_read")
    sharp.close()


def special(browser):
    deep = Page(browser, draw("deep", "app;" + ";".join(f"f{i}" for i in range(3000)) + " 1\n", "--unit", "ns"))
    check("deep stacks start at the root", deep.hover(50, 2), ["f0", "self 0 ns (0%)", "total 1 ns (100.00%)"])
    deep.page.locator("#graph").focus()
    deep.press(*["ArrowUp"] * 100)
    check("and scroll with the selection", (deep.live().split(",")[0], deep.page.evaluate("document.activeElement.id")), ("f97", "graph"))
    deep.close()
    times = Page(browser, draw("times", "app;main 1234567.5\napp;idle 0.5\n", "--unit", "us", "--icicle", "--title", "A </title> & B"))
    check("units and fractions", times.hover(50, 2), ["main", "self 1.23 s (100.00%)", "total 1.23 s (100.00%)"])
    check("small values keep their digits", times.text("#status").split(" · ")[0], "main")
    check("any title", (times.page.title(), times.text("h1")), ("A </title> & B", "A </title> & B"))
    times.close()


# What a frame takes, and how many rectangles it draws.
TIMES = """
  window.paints = [];
  let rectangles = 0;
  const fill = CanvasRenderingContext2D.prototype.fillRect;
  CanvasRenderingContext2D.prototype.fillRect = function (...box) { rectangles++; fill.apply(this, box); };
  const request = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = callback => request(time => {
    const from = performance.now();
    rectangles = 0;
    callback(time);
    if (!callback.isProbe) window.paints.push([performance.now() - from, performance.now(), rectangles]);
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


# From the choice of a process to the picture.
NARROW = """() => new Promise(done => {
  const control = document.getElementById("filter-process"), from = performance.now();
  control.selectedIndex = 1;
  control.dispatchEvent(new Event("change"));
  requestAnimationFrame(() => {
    const taken = performance.now() - from;
    control.selectedIndex = 0;
    control.dispatchEvent(new Event("change"));
    done(taken);
  });
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
    """Times are printed, not checked: figures of the machine as much as of the page. What bounds them is checked."""
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
        paints = [paint for paint, _, _ in page.evaluate("paints")]
        most = page.evaluate("Math.max(...paints.map(paint => paint[2]))")
        area = page.evaluate("graph.clientWidth * Math.ceil(graph.clientHeight / 18 + 1)")
        rows = page.locator("#rows-content .row").count()
        narrowed = page.evaluate(NARROW)
        page.keyboard.press("/")
        page.keyboard.type("function_1")
        page.wait_for_function("matched.textContent.includes('%')")
        page.evaluate("paints.length = 0")
        page.evaluate(REDRAWS)
        searched = [paint for paint, _, _ in page.evaluate("paints")]
        page.screenshot(path=SCREENSHOTS / f"{label}.png")
        context.close()
    check("a frame has at most two rectangles for each pixel of the rows in view", most <= 2 * area, True)
    check("  and a profile of any size the same few rows of the table", rows <= 45, True)
    size = (OUTPUT / f"{label}.html").stat().st_size / 1e6
    print(f"  {label} ({size:.1f} MB): first paint {min(first):.0f} ms after navigation; redraw {statistics.median(paints):.1f} ms median, "
          f"{max(paints):.1f} ms longest; frame {statistics.median(frames):.1f} ms median; with a search {statistics.median(searched):.1f} ms, {max(searched):.1f} ms longest; {most} rectangles a frame; filter, table and graph anew {narrowed:.0f} ms")


with sync_playwright() as playwright:
    browser = launch(playwright)
    small = draw("small", SMALL, "--title", "A small profile")
    page = Page(browser, small)
    check("title", (page.page.title(), page.text("h1")), ("A small profile", "A small profile"))
    check("before anything is selected", page.text("#status"), "100 samples in all, 14 frames")
    for part in (tooltips, searching, zooming, keyboard, remembering, table, sandwich):
        part(page)
    page.close()
    appearance(browser, small)
    filters(browser)
    heatmap(browser)
    reachable(browser)
    comparison(browser)
    special(browser)
    painting(browser, "nodes-200000", many_stacks(200_000))
    browser.close()

finish("flamegraph")
