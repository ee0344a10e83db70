"""Checks of the dashboards: check.py schema | queries | live PROMETHEUS AGENT"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import promql_parser
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

BOARDS = {}
for name in ("machine", "agent"):
    with open(f"dashboards/{name}.json") as file:
        BOARDS[name] = json.load(file)

# What a machine shows only when something is wrong, or the kernel does not do here. They are parsed, and may be empty.
RARE = ("swtrace_oom_kills_total", "swtrace_tcp_retransmits_total", "swtrace_block_io_latency_seconds", "swtrace_events_lost_total")


def keys(value, path=""):
    """The path of every member."""
    if isinstance(value, dict):
        return {item for key, inner in value.items() for item in {f"{path}.{key}"} | keys(inner, f"{path}.{key}")}
    if isinstance(value, list):
        return {item for inner in value for item in keys(inner, path + "[]")}
    return set()


def queries():
    """Each query, with the variables as Grafana would set them."""
    for board in BOARDS.values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$__rate_interval", "20s").replace("$instance", ".*")
                assert "$" not in expr, expr
                yield panel["title"], expr


def schema():
    for name, board in BOARDS.items():
        # The library takes members that it does not know, and loses them.
        again = json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))
        lost = keys(board) - keys(again)
        assert not lost, f"{name}: not known to Grafana: {sorted(lost)}"
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids) > 10, name
        places = [panel["gridPos"] for panel in board["panels"]]
        assert all(place["x"] + place["w"] <= 24 for place in places), name
        cells = [(x, y) for place in places for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
        assert len(set(cells)) == len(cells), f"{name}: panels overlap"


def parsed():
    count = 0
    for title, expr in queries():
        promql_parser.parse(expr)
        count += 1
    assert count > 20, count


def ask(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return answer.read()


def cause_events():
    """A connection, traffic on it, a block that is written, a page from a file, an error of a call."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        peer, _ = server.accept()
        with peer:
            for _ in range(20):
                client.sendall(b"x")
                peer.recv(1)
                peer.sendall(b"y")
                client.recv(1)
    with tempfile.NamedTemporaryFile(dir=".") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    subprocess.run(["ls", "/nonexistent"], capture_output=True)


def live(prometheus, agent):
    def found(expr):
        answer = json.loads(ask(f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": expr})))
        assert answer["status"] == "success", answer
        return any(entry["value"][1] != "NaN" for entry in answer["data"]["result"])

    missing = list(queries())
    while missing:
        cause_events()
        try:
            missing = [(title, expr) for title, expr in missing if not found(expr)]
            rare = [entry for entry in missing if any(name in entry[1] for name in RARE)]
        except OSError:
            rare = None
        print(f"{len(missing)} queries are empty: {missing[:3]}", flush=True)
        if rare is not None and len(rare) == len(missing):
            break
        time.sleep(1)
    exposed = ask(f"{agent}/metrics").decode()
    for name in RARE:
        assert f"# TYPE {name.removesuffix('_total')}" in exposed, f"/metrics has no {name}"


if __name__ == "__main__":
    {"schema": schema, "queries": parsed, "live": live}[sys.argv[1]](*sys.argv[2:])
