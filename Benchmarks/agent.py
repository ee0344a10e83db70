"""Rows about the agent: what it takes while a machine works, what it keeps, and how soon it answers."""
import contextlib
import functools
import glob
import os
import shutil
import sqlite3
import statistics
import subprocess
import time

import common
from agentprocess import WINDOW, Agent, wait_until

# Set by `run`: the binary, and for how long it is watched. An hour is what the figures are about.
BINARY, MINUTES = '', 10.0
# Minutes at first that do not count: the rules and names of what runs are made then.
WARMING = 1
BUSY, SLEEPING = 2, 200
SPAN, HOUR, DAY = 300, 3600, 86400


class Stated:
    """What others say of themselves, which nothing here measured."""

    def __init__(self, number):
        self.number = number

    def __call__(self):
        return self.number


METRICS = ['run_queue', 'block_io', 'tcp_connect', 'tcp_rtt', 'tcp_retransmits', 'page_faults', 'syscalls', 'oom_kills']


@functools.cache
def watched(metrics):
    """An agent that has run beside 2 busy processes and 200 that wait: what it took in each window, and its store.

    Without metrics of the machine it does what other profilers do."""
    folder = f'{common.WORK}/agent{"" if metrics else "-profiles"}'
    os.mkdir(folder)
    settings = {} if metrics else {f'SWTRACE_METRICS_{name.upper()}': 'off' for name in METRICS}
    # The rates stay what they are: else their figures would be those of other rates.
    agent = Agent(BINARY, f'{folder}/agent.db', f'{folder}/log', SWTRACE_BUDGET_MAX_CPU='6400', **settings)
    workload = subprocess.Popen([common.build('services'), str(BUSY), str(SLEEPING)], stdout=subprocess.PIPE)
    try:
        workload.stdout.read(1)
        agent.wait_for('/readyz')
        began, windows, sizes = time.time(), [], {}
        end = began + MINUTES * 60
        # In the middle of windows, so that each has one time of closing, naming and storing.
        moment = (began // WINDOW + 1) * WINDOW + WINDOW / 2
        before = None
        while moment < end:
            time.sleep(max(0.0, moment - time.time()))
            if not agent.runs:
                raise OSError(f'the agent ended by itself, with {agent.process.returncode}')
            now = time.monotonic(), agent.processor_time(), agent.program_time()
            if before and moment >= began + WARMING * 60:
                elapsed = (now[0] - before[0]) * 1e9
                windows.append([100 * (late - early) / elapsed for late, early in zip(now[1:], before[1:])])
            before = now
            if int(moment) // 60 != int(moment - WINDOW) // 60:
                sizes[time.time()] = dictionary(f'{folder}/agent.db')
            moment += WINDOW
        taken = agent.taken()
        metrics = agent.metrics()
        agent.end()
        return {'folder': folder, 'windows': windows, 'taken': taken, 'metrics': metrics, 'sizes': sizes, 'seconds': time.time() - began}
    finally:
        workload.kill()
        workload.wait()
        workload.stdout.close()
        if agent.runs:
            agent.kill()


def dictionary(store):
    """Bytes of the frames, stacks and series that are stored."""
    with contextlib.closing(sqlite3.connect(store, timeout=30)) as database:
        return sum(rows_and_bytes(database, table)[1] for table in ('frame', 'stack', 'series', 'metric_series'))


def rows_and_bytes(database, table, where='1'):
    """Rows of a table, and the bytes of their data with what SQLite needs for a row, its index and half-full pages: some 24 more."""
    columns = {'block': 'length(parts) + length(data)', 'coverage': '20 + ifnull(length(parts), 0)',
               'metric_block': 'length(data)'}.get(table, 'length(data) + 9')
    rows, size = database.execute(f'SELECT count(*), sum({columns} + 24) FROM {table} WHERE {where}').fetchone()
    return rows, size or 0


def label():
    return f'agent, {BUSY} busy and {SLEEPING} waiting processes'


def agent_cost():
    stated = {'stated by others': Stated(1.0)}

    def part(metrics, index, summary=statistics.median):
        return lambda: summary(window[index] for window in watched(metrics)['windows'])

    def together(metrics, summary):
        return lambda: summary(map(sum, watched(metrics)['windows']))

    for metrics, what in (False, 'on- and off-CPU at 19 Hz'), (True, 'the same and the metrics of the machine'):
        yield f'{label()}: {what}, median of windows, process', '% of a processor', '', part(metrics, 0), {}
        yield 'the same, programs in the kernel', '% of a processor', '', part(metrics, 1), {}
        yield 'the same, together', '% of a processor', '' if metrics else '≤ 0.5', together(metrics, statistics.median), {} if metrics else stated
        yield 'the same, mean, with the upkeep of each minute', '% of a processor', '', together(metrics, statistics.mean), {}
    yield 'windows at lowered rates (0: all of it is at 19 Hz)', 'halvings', '0', \
        lambda: watched(True)['metrics'].get('swtrace_agent_rate_halvings', 0), {}


def agent_memory():
    yield f'{label()}: RSS after {MINUTES:g} minutes (AGENT_MINUTES=60 for an hour)', 'MB', '≤ 80', \
        lambda: watched(True)['taken']['resident'], {'stated by others': Stated(250)}
    yield 'the same, kernel memory of maps', 'MB', '≤ 64', lambda: watched(True)['taken']['maps'], {}


def agent_disk():
    """Data a day. What code is known, frames and stacks, is kept once: it grows with new code, not with time."""
    def with_store(measure):
        def result():
            with contextlib.closing(sqlite3.connect(f'{watched(True)["folder"]}/agent.db')) as database:
                return measure(database)
        return result

    def joined(database, table):
        """Of blocks of five minutes; what the blocks of ten seconds are is not known until they are joined."""
        starts = [start for start, in database.execute(f'SELECT DISTINCT start FROM block WHERE resolution = {SPAN}')]
        covered = sum(value for start in starts for value, in database.execute(
            f'SELECT covered FROM coverage WHERE type = 0 AND resolution = {SPAN} AND start = ?', (start,)))
        if not covered:
            raise common.Missing('no five minutes have passed: AGENT_MINUTES=11')
        size = rows_and_bytes(database, table, f'resolution = {SPAN}')[1]
        return size / (covered / 1e9) * DAY / 1e6

    def values(database):
        return joined(database, 'block') + joined(database, 'coverage')

    def metrics(database):
        return joined(database, 'metric_block')

    def growth(_):
        """Over the second half, when what runs has been seen."""
        sizes = sorted(watched(True)['sizes'].items())
        if len(sizes) < 4:
            raise common.Missing('too short')
        (start, less), (end, more) = sizes[len(sizes) // 2], sizes[-1]
        return (more - less) / (end - start) * DAY / 1e6

    def total(database):
        return values(database) + metrics(database) + growth(database)

    yield f'{label()}: values on disk a day, as blocks of 5 minutes', 'MB', '', with_store(values), {}
    yield 'the same, metrics', 'MB', '', with_store(metrics), {}
    yield 'the same, new frames and stacks a day, as in the second half', 'MB', '', with_store(growth), {}
    yield 'the same, together', 'MB', '≤ 10', with_store(total), {}
    yield 'frames and stacks, once', 'MB', '', lambda: max(watched(True)['sizes'].values(), default=0) / 1e6, {}


def hour():
    """A store with an hour of values: what the run was, again and again."""
    target = f'{common.WORK}/hour'
    if os.path.exists(target):
        return f'{target}/agent.db'
    shutil.copytree(watched(True)['folder'], target)
    with contextlib.closing(sqlite3.connect(f'{target}/agent.db')) as database:
        spans = [start for start, in database.execute(f'SELECT DISTINCT start FROM block WHERE resolution = {SPAN} ORDER BY start DESC')]
        if not spans:
            raise common.Missing('no five minutes have passed: AGENT_MINUTES=11')
        for index in range(len(spans), HOUR // SPAN):
            shift = spans[index % len(spans)] - (spans[0] - index * SPAN)
            for table, columns in ('block', 'type, series, resolution, {}, total, parts, data'), \
                    ('coverage', 'type, resolution, {}, covered, lost, period, parts'):
                database.execute(f'INSERT OR IGNORE INTO {table} SELECT {columns.format("start - ?")} FROM {table} '
                                 f'WHERE resolution = {SPAN} AND start = ?', (shift, spans[index % len(spans)]))
        database.commit()
    return f'{target}/agent.db'


def agent_answers():
    """From a file that the agent has just opened; of the busiest service, and of all."""
    def first(path, match=None, limit=HOUR):
        def measure():
            store = hour()
            with contextlib.closing(sqlite3.connect(store)) as database:
                end = database.execute(f'SELECT max(start) FROM block WHERE resolution = {SPAN}').fetchone()[0] + SPAN
            agent = Agent(BINARY, store, f'{common.WORK}/agent/log')
            try:
                agent.wait_for('/healthz')
                # Its start is over, and no window is being closed.
                wait_until(lambda: agent.answers('/readyz'), 60, 'the first window')
                began = time.monotonic()
                agent.get(path, type='cpu', **{'from': end - limit}, to=end, **({'match': match} if match else {}))
                return (time.monotonic() - began) * 1000
            finally:
                agent.kill()
        return measure

    yield 'first flame graph of an hour of one service', 'ms', '≤ 300', first('/api/v1/profile', '{service="busy-0"}'), {}
    yield 'the same, of all services', 'ms', '', first('/api/v1/profile'), {}
    yield 'first timeline of an hour', 'ms', '≤ 300', first('/api/v1/timeline'), {}


def agent_store():
    """Rows of samples into a store, as fast as it takes them, and answers meanwhile."""
    results = {}

    def rate():
        results.update(common.in_process(f'{common.WORK}/rows.db', benchmark='StoreBenchmark'))
        for name in glob.glob(f'{common.WORK}/rows.db*'):
            os.remove(name)
        return results['rows']

    def other(name):
        def result():
            if not results:
                raise common.Missing('there was no run')
            return results[name]
        return result

    yield 'store: rows of samples a second', '', '≥ 50,000', rate, {}
    yield 'the same, peak memory', 'MB', '≤ 80', other('memory'), {}
    yield 'the same, slowest flame graph of an hour meanwhile', 'ms', '≤ 300', other('query'), {}
    yield 'the same, bytes of a row on disk', 'B', '≤ 4', other('bytes'), {}


ROWS = [agent_cost, agent_memory, agent_disk, agent_answers, agent_store]
