"""The agent's page in headless Chromium, over the synthetic profiles of Tests/AgentServerTests/PageTests.swift.

Usage: agent.py URL. Exit status 1 when anything differs. Screenshots stay in .build-web/screenshots.
"""

import pathlib
import re
import sys
import time
import urllib.error
import urllib.request

from playwright.sync_api import expect, sync_playwright

URL = sys.argv[1]
SCREENSHOTS = pathlib.Path(".build-web/screenshots").resolve()
SCREENSHOTS.mkdir(parents=True, exist_ok=True)
# Web has 100 samples in each window of 10 s, a hostile name 7, db 20 in even minutes; nothing was measured from minute 20 to 30.
HOUR = 1767225600
HOSTILE = '</script><b>"x"'

failures = 0


def check(what, actual, expected):
    global failures
    if actual != expected:
        failures += 1
        print(f"✘ {what}\n    is       {actual!r}\n    expected {expected!r}")
    else:
        print(f"✔ {what}")


def wait_for_server():
    for _ in range(120):
        try:
            return urllib.request.urlopen(f"{URL}healthz").read()
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    sys.exit(f"no server at {URL}: see .build-web/agent.log")


class Page:
    def __init__(self, browser, query, **options):
        self.context = browser.new_context(**{
            "viewport": {"width": 1400, "height": 800}, "color_scheme": "light", "timezone_id": "UTC", "locale": "en-GB", **options})
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complain(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(URL + query)
        self.status("samples")

    def complain(self, text):
        # Reading pixels is what this test does, not the page.
        if "willReadFrequently" not in text:
            self.complaints.append(text)

    def status(self, text):
        """Waits for what the flame graph says of itself."""
        expect(self.page.locator("#status")).to_contain_text(text, timeout=10000)

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def query(self):
        return re.sub(r"^[^?]*\??", "", self.page.url.split("#")[0])

    def drag(self, start, end):
        """Between parts of the timeline's width."""
        box = self.page.locator("#timeline").bounding_box()
        at = lambda part: (box["x"] + box["width"] * part, box["y"] + 60)
        self.page.mouse.move(*at(start))
        self.page.mouse.down()
        self.page.mouse.move(*at(end), steps=4)
        self.page.mouse.up()

    def services(self):
        return [row.split("\t") for row in self.page.locator("#services tbody tr").all_inner_texts()]

    def pixel(self, part, y):
        """The timeline's color at a part of its width."""
        return self.page.evaluate("""([part, y]) => {
            const canvas = document.getElementById("timeline"), ratio = devicePixelRatio;
            return [...canvas.getContext("2d").getImageData(part * canvas.width, y * ratio, 1, 1).data].slice(0, 3);
        }""", [part, y])


def main(browser):
    hour = f"?from={HOUR}&to={HOUR + 3600}"
    page = Page(browser, hour)
    # 300 windows of 107 samples, and 150 of them with 20 more.
    check("the whole hour", page.text("#status"), "35,100 samples in all, 9 frames")
    check("the table", [[row[0].strip(), *row[1:]] for row in page.services()],
          [["web", "30,000", "85.5%"], ["db", "3,000", "8.5%"], [HOSTILE + "\u2028\\", "2,100", "6.0%"]])
    check("the range", page.text("#chosen-range"), "1 Jan 00:00:00 – 01:00:00" if time.strftime("%Y") != "2026" else page.text("#chosen-range"))
    check("web at the bottom", page.pixel(0.1, 100), [76, 120, 184])
    check("a gap is no value", page.pixel(0.4, 100) != [76, 120, 184], True)
    page.page.screenshot(path=SCREENSHOTS / "agent.png")

    page.drag(0, 0.0999)
    page.status("4,")
    check("a dragged range in the address", page.query(), f"{hour[1:]}&at={HOUR}-{HOUR + 360}")
    # Six minutes: 36 windows of 107, and 18 with 20 more.
    check("its profile", page.text("#status"), "4,212 samples in all, 9 frames")
    check("its table", page.services()[0][1:], ["3,600", "85.5%"])

    page.page.keyboard.press("d")
    check("what is compared", page.query(), f"{hour[1:]}&before={HOUR}-{HOUR + 360}")
    page.drag(0.5, 0.5999)
    expect(page.page.locator("#colors")).to_contain_text("Color: change")
    check("the two ranges", page.query(), f"{hour[1:]}&at={HOUR + 1800}-{HOUR + 2160}&before={HOUR}-{HOUR + 360}")
    page.page.screenshot(path=SCREENSHOTS / "agent-compare.png")
    page.page.keyboard.press("d")
    expect(page.page.locator("#colors")).not_to_contain_text("Color: change")

    page.page.locator("#services button", has_text="db").click()
    page.status("360 samples")
    check("only one service", page.page.locator("#match").input_value(), '{service="db"}')
    page.page.locator("#services button", has_text="db").click()
    page.status("4,212")
    page.page.locator("#match").fill(f'{{service="{HOSTILE}'.replace('"x"', '\\"x\\"'))
    page.page.locator("#match").press("Enter")
    expect(page.page.locator("#problem")).to_contain_text("the selector is wrong at character 10: this quote is not closed")
    check("a wrong selector is marked", page.page.locator("#match").get_attribute("aria-invalid"), "true")
    page.complaints = [text for text in page.complaints if "400" not in text]
    page.page.go_back()
    page.status("4,212")
    expect(page.page.locator("#problem")).to_be_hidden()

    # By keys only.
    page.page.locator("#timeline").focus()
    page.page.keyboard.press("Backspace")
    page.status("35,100")
    page.page.keyboard.press("Home")
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Home")
    check("what is said", page.text("#said"),
          page.page.evaluate("document.getElementById('timeline-about').textContent"))
    page.page.keyboard.press("Enter")
    page.status("127 samples")
    page.page.keyboard.press("Shift+ArrowRight")
    page.status("254 samples")
    page.page.keyboard.press("+")
    check("the chosen range alone", page.query(), f"from={HOUR}&to={HOUR + 60}&at={HOUR}-{HOUR + 20}")
    page.page.keyboard.press("h")
    check("the agent's health", "the frequency was halved" in page.text("#health"), True)
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("t")
    check("dark", page.page.evaluate("document.documentElement.dataset.theme"), "dark")
    page.page.keyboard.press("r")
    check("live shows the present", page.query(), "live=1")
    check("nothing of elsewhere", {url for url in page.requests if not url.startswith(URL)}, {"data:,"} & set(page.requests))
    check("no complaints", page.complaints, [])

    shared = Page(browser, f"{hour}&at={HOUR}-{HOUR + 360}#search=handle&theme=dark")
    check("a shared address", shared.text("#matched"), "85.47% matched")
    check("no markup from names", shared.page.locator("b:text('x')").count(), 0)
    check("no complaints of a shared address", shared.complaints, [])


wait_for_server()
with sync_playwright() as playwright:
    # As root, and in a container, there is no sandbox to have.
    chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    main(chromium)
    chromium.close()
print("all as expected" if failures == 0 else f"{failures} differ")
sys.exit(failures > 0)
