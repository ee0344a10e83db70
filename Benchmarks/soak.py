#!/usr/bin/env python3
"""Kill and restart the agent again and again while programs and containers come and go, and see what it loses.

  Benchmarks/soak.py [--agent FILE] [--minutes N]

Needs root. Every 20 s or so the agent gets SIGKILL and is started again on the same store. Prints a table: what was measured, and
what is to be reached. Exits with 1 when something is not reached; what the agent wrote and kept is left for inspection then.
"""
import argparse
import contextlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import common
from agentprocess import TYPES, WINDOW, Agent, wait_until
from churn import Churn
from verdict import LATE, STARTING, Verdict

class Run:
    """One life of the agent: when, what it took, and what it had told when it was killed."""

    def __init__(self, agent):
        self.agent, self.started, self.killed = agent, agent.started, math.inf
        self.answered, self.taken, self.objects, self.lags = None, None, set(), []
        # By type, what `Agent.timeline` gave last; and the counters that belong to it.
        self.told, self.counters = {}, None
        # Beginnings of windows that were told, of all types; and of those that the next run did not tell.
        self.seen, self.missing = set(), []

    def windows(self):
        """Those that were wholly over, and in the store, before it was killed, if all is well."""
        first = int((self.started + STARTING) // WINDOW) * WINDOW
        return [start for start in range(first, int(min(self.killed, 2**40)), WINDOW) if start + WINDOW + LATE <= self.killed]

    def look(self):
        """Asks for what it has; notes when a window was first seen."""
        now = time.time()
        first = self.started // WINDOW * WINDOW
        told = {kind: self.agent.timeline(kind, first, now) for kind in TYPES}
        for start in told['cpu']:
            if start + WINDOW <= now and start not in self.seen and all(windows.get(start, (0,))[0] for windows in told.values()):
                self.seen.add(start)
                self.lags.append(time.time() - start - WINDOW)
        self.told = told

    def live(self, until):
        """Until a time; looks at what is stored after the end of each window."""
        self.agent.wait_for('/healthz')
        self.answered = time.time() - self.started
        waits_for = self.started // WINDOW * WINDOW
        while time.time() < until:
            if not self.agent.runs:
                raise OSError(f'the agent ended by itself, with {self.agent.process.returncode}')
            if time.time() > waits_for + WINDOW:
                self.look()
                is_there = all(self.told[kind].get(waits_for, (0,))[0] for kind in TYPES)
                # Of the window of its start there may be nothing.
                patience = WINDOW if waits_for + WINDOW > self.started + STARTING else 2 * LATE
                if is_there or time.time() > waits_for + WINDOW + patience:
                    waits_for += WINDOW
            time.sleep(0.2)

    def note(self):
        """What it has, right before its end."""
        self.taken, self.objects = self.agent.taken(), self.agent.kernel_objects()
        # The counters change when a window is over, its values come to the store a little later: only what is the same before and
        # after belongs together.
        before = self.agent.metrics()
        self.look()
        after = self.agent.metrics()
        over = int(time.time() // WINDOW) * WINDOW - WINDOW
        names = [f'swtrace_events{name}_total{{profile="cpu"}}' for name in ('', '_lost')]
        counts = [metrics.get(name) for metrics in (before, after) for name in names]
        if None not in counts and counts[:2] == counts[2:] and self.told['cpu'].get(over, (0,))[0]:
            values = sum(sum(services.values()) for _, _, services, _ in self.told['cpu'].values())
            self.counters = counts[0], counts[1], values


class Soak:
    def __init__(self, binary, folder, minutes):
        self.binary, self.folder, self.seconds = binary, folder, minutes * 60
        self.store, self.log = f'{folder}/agent.db', f'{folder}/log'
        self.runs = []
        # So that kills hit each moment of a window; the same in every soak.
        self.chance = random.Random(11)

    def start(self):
        self.runs.append(Run(Agent(self.binary, self.store, self.log)))
        return self.runs[-1]

    def run(self):
        begun = time.time()
        run = None
        try:
            while time.time() < begun + self.seconds:
                run = self.start()
                run.live(min(run.started + self.chance.uniform(16, 22), begun + self.seconds))
                self.check_last()
                run.note()
                run.killed = run.agent.kill()
                print('  {:4.0f} s left; run {}: {resident:.0f} MB, {descriptors} descriptors, {threads} threads, {processor:.1f} s of a processor'
                      .format(max(0.0, begun + self.seconds - run.killed), len(self.runs), **run.taken), file=sys.stderr, flush=True)
                time.sleep(self.chance.uniform(0.3, 3))
            run = self.start()
            run.live(run.started + WINDOW + STARTING)
            self.check_last()
            self.whole = {kind: run.agent.timeline(kind, begun, run.started) for kind in TYPES}
            self.status, self.ending = run.agent.end()
        finally:
            if run and run.agent.runs:
                run.agent.kill()
        self.last = self.runs.pop()

    def write_down(self):
        """What the checks are made of, for those who look for the reason of a failure."""
        with open(f'{self.folder}/runs.json', 'w', encoding='utf-8') as file:
            json.dump({'windows': self.whole, 'runs': [
                {'started': run.started, 'killed': run.killed, 'answered': run.answered, 'taken': run.taken, 'lags': run.lags,
                 'told': run.told, 'counters': run.counters, 'missing': run.missing} for run in self.runs]}, file, indent=1)

    def check_last(self):
        """What the run before had told is there."""
        if len(self.runs) < 2:
            return
        last, agent = self.runs[-2], self.runs[-1].agent
        for kind, told in last.told.items():
            now = agent.timeline(kind, min(told), max(told) + WINDOW)
            last.missing += [start for start, window in told.items() if window[0] and window != now.get(start)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--agent', default=os.path.join(os.path.dirname(common.HERE), 'build', 'swtrace-agent'))
    parser.add_argument('--minutes', type=float, default=os.environ.get('SOAK_MINUTES') or '15')
    options = parser.parse_args()
    if os.geteuid():
        sys.exit('Benchmarks/soak.py: needs root')
    if not os.access(options.agent, os.X_OK):
        sys.exit(f'Benchmarks/soak.py: there is no {options.agent}; run make agent')
    if not 1 <= options.minutes <= 1e5:
        parser.error(f'{options.minutes} minutes: it takes at least 1')
    # An end by SIGTERM cleans up as one by Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    common.WORK = tempfile.mkdtemp(prefix='swtrace-soak')
    failed = True
    try:
        soak = Soak(options.agent, common.WORK, options.minutes)
        print(f'Kernel {os.uname().release}, {os.cpu_count()} processors; {options.minutes:g} minutes; the load before is '
              f'{os.getloadavg()[0]:.1f}', flush=True)
        with Churn() as churn:
            soak.run()
            churn.quiet()
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: not churn.groups.dying(), 30, 'removed cgroups')
            dying = churn.groups.dying()
        if churn.containers.error:
            raise churn.containers.error
        print(f'{len(soak.runs)} kills, {churn.containers.made} containers\n')
        soak.write_down()
        verdict = Verdict(soak)
        verdict.growth()
        verdict.kernel(dying, churn.containers.made)
        verdict.loss()
        verdict.gaps()
        verdict.steady(churn.witness)
        verdict.balance()
        verdict.kept()
        failed = verdict.failed
    except KeyboardInterrupt:
        failed = False
        sys.exit('Benchmarks/soak.py: ended early; nothing was checked')
    except (OSError, TimeoutError, common.Missing, subprocess.CalledProcessError) as error:
        sys.exit(f'Benchmarks/soak.py: {error}; what there was is in {common.WORK}')
    finally:
        if not failed:
            shutil.rmtree(common.WORK, ignore_errors=True)
    if failed:
        sys.exit(f'Benchmarks/soak.py: not all was reached; the log and the store are in {common.WORK}')


if __name__ == '__main__':
    main()
