"""What the soak has shown, as a table: what was measured, and what is to be reached."""
import contextlib
import glob
import math
import os
import sqlite3
import statistics
import subprocess
import sys

import common
from agentprocess import TYPES, WINDOW, wait_until
from churn import Churn

# Seconds after its end by which a window has to be in the store, and after its start by which an agent has to measure.
LATE, STARTING = 2, 5
# Seconds by which a window's end may be off: it is computed from two clocks that are read one after the other.
BLUR = 0.1


class Verdict:
    """Prints a row for each check, and keeps whether all held."""

    def __init__(self, soak):
        self.soak, self.failed = soak, False
        print('| | measured | to reach | reached |\n|---|---|---|---|')

    def row(self, what, measured, wanted, holds):
        self.failed = self.failed or not holds
        print(f'| {what} | {measured} | {wanted} | {"yes" if holds else "NO"} |', flush=True)

    def growth(self):
        size = max(len(self.soak.runs) // 4, 1)
        for name, unit, slack in ('resident', ' MB', 8), ('maps', ' MB', 1), ('descriptors', '', 16), ('threads', '', 2):
            values = [run.taken[name] for run in self.soak.runs]
            first, last = statistics.median(values[:size]), statistics.median(values[-size:])
            limit = first * 1.1 + slack
            label = {'resident': 'resident memory', 'maps': 'kernel maps'}.get(name, name)
            self.row(f'{label}, median of the first and of the last {size} runs', f'{first:.4g} and {last:.4g}{unit}',
                     f'≤ {limit:.4g}{unit}', last <= limit)

    def kernel(self, dying, containers):
        held = set().union(*(run.objects for run in self.soak.runs))

        def there():
            listed = set()
            for kind in 'prog', 'map':
                output = subprocess.run([common.program('bpftool'), kind, 'show'], capture_output=True, check=True, text=True).stdout
                listed |= {(kind, int(line.split(':')[0])) for line in output.splitlines() if line.split(':')[0].isdecimal()}
            return held & listed
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: not there(), 30, 'the end of the programs')
        self.row(f'of {len(held)} programs and maps, those still in the kernel', len(there()), '0', not there())
        # The kernel keeps the last ones for a while, agent or not.
        most = max(20, containers // 10)
        self.row(f'removed cgroups that the kernel still has, of {containers} containers', dying, f'≤ {most}', dying <= most)

    def loss(self):
        due = [(run, start) for run in self.soak.runs for start in run.windows()]
        for kind in TYPES:
            lost = [start for _, start in due if not self.soak.whole[kind].get(start, (0,))[0]]
            self.row(f'{kind}: windows that were over {LATE} s before a kill and are not in the store, of {len(due)}', len(lost), '0',
                     len(due) > 0 and not lost)
        told = sum(1 for run in self.soak.runs for windows in run.told.values() for window in windows.values() if window[0])
        gone = sum(len(run.missing) for run in self.soak.runs)
        later = sum(1 for run in self.soak.runs for kind, windows in run.told.items() for start, window in windows.items()
                    if window[0] and window != self.soak.whole[kind].get(start))
        self.row(f'windows that were shown before a kill and are not there, or others, after it, of {told}', gone, '0', not gone)
        self.row('the same at the end', later, '0', not later)
        lags = [lag for run in self.soak.runs for lag in run.lags]
        self.row('from the end of a window until it is shown, median and most',
                 f'{statistics.median(lags):.2f} and {max(lags):.2f} s' if lags else 'never', f'≤ {LATE} s',
                 len(lags) > 0 and max(lags) <= LATE)
        answered = [run.answered for run in self.soak.runs]
        self.row('from the start until the page answers, median and most',
                 f'{statistics.median(answered):.2f} and {max(answered):.2f} s', '≤ 15 s', max(answered) <= 15)

    def gaps(self):
        """No window says that more of it was measured than can have been: what died before its end took it along."""
        for kind in TYPES:
            excess, full, total = {}, 0, 0
            for start, (covered, *_) in self.soak.whole[kind].items():
                most = sum(max(0, min(run.killed, start + WINDOW) - max(run.started, start)) for run in [*self.soak.runs, self.soak.last]
                           if run.killed >= start + WINDOW - BLUR)
                excess[start] = covered / 1e9 - most
                full, total = full + (covered / 1e9 >= WINDOW - BLUR), total + covered / 1e9
            worst = max(excess, key=excess.get)
            self.row(f'{kind}: most that a window says to cover beyond what it can', f'{max(excess[worst], 0):.2f} s', f'≤ {BLUR} s',
                     excess[worst] <= BLUR)
            cut = [int(run.killed // WINDOW) * WINDOW for run in self.soak.runs]
            seen = sum(self.soak.whole[kind].get(start, (0,))[0] / 1e9 < WINDOW - BLUR / 2 for start in cut)
            self.row(f'{kind}: kills that show as a window not covered in full, of {len(self.soak.runs)}', seen, f'{len(self.soak.runs)}',
                     seen == len(self.soak.runs))
            self.row(f'{kind}: covered', f'{total:.0f} s, {full} windows in full', '', True)

    def steady(self, witness):
        """The samples of the service that runs always are those that its running time gives."""
        got = wanted = ran = there = worst = 0
        for run in self.soak.runs:
            for start in run.windows():
                covered, _, services, period = self.soak.whole['cpu'].get(start, (0, 0, {}, 0))
                if not covered or not period:
                    continue
                end = start + WINDOW
                runtime = witness.runtime(end - covered / 1e9, end)
                ran, there = ran + runtime, there + covered
                expected = runtime / period
                samples = services.get(Churn.STEADY, 0)
                got, wanted = got + samples, wanted + expected
                worst = max(worst, abs(samples - expected) / max(math.sqrt(expected), 1))
        # Samples come evenly while it has its processor; where it shares it, chance says which they hit.
        slack = 0.03 * wanted + 3 * math.sqrt(wanted * max(0.0, 1 - ran / max(there, 1)))
        self.row('samples of a busy service, of those that its running time gives', f'{got} of {wanted:.0f}', f'to {slack:.0f}',
                 wanted > 0 and abs(got - wanted) <= slack)
        # Of independent samples, one window in 15,000 would be four away.
        self.row('the window that is furthest off, in square roots of its number', f'{worst:.1f}', '≤ 4', worst <= 4)

    def balance(self):
        known = [run.counters for run in self.soak.runs if run.counters]
        if not known:
            self.row('runs whose counters could be compared', 0, f'≥ {len(self.soak.runs) // 2}', False)
            return
        seen, lost, told = (sum(numbers) for numbers in zip(*known))
        # Those whose stack is being walked when a window ends come with the next one.
        slack = 2 * len(known)
        runs = len(self.soak.runs)
        self.row(f'samples seen, and told + lost, in {len(known)} of {runs} runs', f'{seen:.0f}, and {told:.0f} + {lost:.0f}',
                 f'equal to {slack}', len(known) >= runs // 2 and abs(seen - told - lost) <= slack)
        self.row('of them, lost', f'{100 * lost / max(seen, 1):.2f} %', '≤ 1 %', lost <= seen / 100)

    def kept(self):
        with contextlib.closing(sqlite3.connect(self.soak.store)) as database:
            answer = database.execute('PRAGMA integrity_check').fetchall()
            counts = {table: database.execute(f'SELECT count(*) FROM {table}').fetchone()[0]
                      for table in ('frame', 'stack', 'series', 'block')}
        size = sum(os.path.getsize(name) for name in glob.glob(f'{self.soak.store}*'))
        self.row('integrity check of the store', str(answer[0][0])[:60], 'ok', answer == [('ok',)])
        self.row('the store', f'{size / 1e6:.1f} MB: ' + ', '.join(f'{count} of {table}' for table, count in counts.items()), '', True)
        aside = glob.glob(f'{self.soak.store}.damaged-*')
        self.row('stores moved aside as damaged', len(aside), '0', not aside)
        with open(self.soak.log, encoding='utf-8', errors='replace') as file:
            errors = [line for line in file if ' error ' in line or ' critical ' in line or 'Fatal' in line]
        self.row('errors in the log', len(errors), '0', not errors)
        for line in errors[:3]:
            print(f'  {line.rstrip()[:200]}', file=sys.stderr)
        self.row('after SIGTERM: exit status, and seconds', f'{self.soak.status}, and {self.soak.ending:.1f}', '0, and ≤ 15',
                 self.soak.status == 0 and self.soak.ending <= 15)

