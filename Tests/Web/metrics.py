"""Scrapes the agent's metrics as Prometheus does: metrics.py PORT, with the server of run-agent

By promtool, by the parser of OpenMetrics, and by Prometheus itself, with native histograms. The values are those of ScrapedState.swift.
"""

import json
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from checks import check, finish

port = int(sys.argv[1])
WAITS = "swtrace_run_queue_latency_seconds"


def scrape(accept):
    request = urllib.request.Request(f"http://localhost:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def lint():
    found = subprocess.run(["promtool", "check", "metrics"], input=scrape("text/plain"), capture_output=True, text=True)
    # The one metric that is only there to be hard to write.
    complaints = [line for line in found.stderr.splitlines() if "swtrace_agent_" not in line]
    check("promtool has nothing to say", complaints, [])


def parse():
    families = {family.name: family for family in text_string_to_metric_families(scrape("application/openmetrics-text"))}
    check("each family is there once", sorted(families), sorted(
        ["swtrace_agent_lost", "swtrace_agent_memory_bytes", WAITS, "swtrace_page_faults"]))
    buckets = {}
    for sample in families[WAITS].samples:
        if sample.name.endswith("_bucket"):
            buckets.setdefault(sample.labels["service"], []).append((sample.labels["le"], sample.value))
        if sample.name.endswith("_sum") and sample.labels["service"] == "exact":
            check("the sum is true", sample.value, 101 * 2**20 / 1e9)
    check("each series has all buckets", {service: [bound for bound, _ in all] for service, all in buckets.items()},
          {service: [bound for bound, _ in buckets["exact"]] for service in ("exact", "doubled", "none")})
    exact = dict(buckets["exact"])
    check("a power of two is above the bound that ends before it", (exact["0.001048575"], exact["0.002097151"], exact["+Inf"]), (0, 101, 101))
    check("bounds ascend", [float(bound) for bound, _ in buckets["none"]], sorted(float(bound) for bound, _ in buckets["none"]))
    check("a name of any letters survives", families["swtrace_page_faults"].samples[0].labels["service"], "</script><b>\"x\"\u2028\\")


def query(server, text, **time):
    """The values by service, and when they were asked for."""
    with urllib.request.urlopen(f"http://localhost:{server}/api/v1/query?" + urllib.parse.urlencode({"query": text, **time})) as answer:
        results = json.load(answer)["data"]["result"]
    return {result["metric"].get("service", ""): float(result["value"][1]) for result in results}, max(
        (result["value"][0] for result in results), default=0)


def run_prometheus():
    server = port + 10
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/prometheus.yml", "w", encoding="utf-8") as file:
            file.write("global: {scrape_interval: 1s}\nscrape_configs:\n"
                       f"  - {{job_name: agent, static_configs: [{{targets: ['localhost:{port}']}}]}}\n")
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=localhost:{server}", "--enable-feature=native-histograms", "--log.level=error"])
        try:
            ask(server)
        finally:
            process.terminate()
            process.wait()


def ask(server):
    deadline = time.monotonic() + 60
    up, at = {}, 0
    while up != {"": 1} and time.monotonic() < deadline:
        try:
            up, at = query(server, "up")
        except OSError:
            pass
        time.sleep(0.2)
    check("Prometheus scrapes the agent", up, {"": 1})

    # A scrape after that one may take longer than its second, which would leave nothing at a later time.
    def values(text):
        return query(server, text, time=at)[0]
    check("native histograms have all values", values(f"histogram_count({WAITS})"), {"exact": 101, "doubled": 70, "none": 0})
    sums = values(f"histogram_sum({WAITS})")
    check("and their sum", (sums["exact"], sums["doubled"]), (101 * 2**20 / 1e9, 7 * 1023 * 1000 / 1e9))
    for fraction in ("0.01", "0.5", "0.99"):
        value = values(f"histogram_quantile({fraction}, {WAITS})")["exact"]
        # The bucket from 2^-10 to 2^-9.75 seconds.
        check(f"the quantile {fraction} is in the bucket of 2^20 ns", 2**-10 < value <= 2**-9.75, True)
    check("counters have their values", list(values("swtrace_page_faults_total").values()), [31])


lint()
parse()
run_prometheus()
finish("metrics")
