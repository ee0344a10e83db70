"""What the rows of the benchmark share: programs to compare with, workloads, and what tools cost."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
BUILT = os.path.join(os.path.dirname(HERE), '.build', 'release')
# Set by `run`: the binary that is measured, and a folder for what belongs to this run only.
SWTRACE = WORK = ''


class Missing(Exception):
    """A program that is not installed; the row says so."""


def program(name, *folders):
    for folder in folders or ('/usr/sbin', '/usr/bin'):
        if os.access(f'{folder}/{name}', os.X_OK):
            return f'{folder}/{name}'
    raise Missing(f'{name} is not installed')


def libbpf_tool(name):
    return program(name, '/usr/sbin')


def build(name):
    """The workload of that name, compiled once."""
    target = f'{WORK}/{name}'
    if not os.path.exists(target):
        subprocess.run(['cc', '-O2', '-pthread', '-o', target, f'{HERE}/workloads/{name}.c'], check=True)
    return target


class Tool:
    """A tracer that runs until stopped."""

    def __init__(self, command, output=subprocess.DEVNULL):
        self.error = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=output, stderr=self.error, stdin=subprocess.DEVNULL)
        self.wait_for_programs()

    def wait_for_programs(self):
        """Until the tool's programs are in the kernel and their number has stood still for a while."""
        last, since, end = set(), time.monotonic(), time.monotonic() + 30
        while time.monotonic() < end and self.process.poll() is None:
            now = self.programs()
            if now != last:
                last, since = now, time.monotonic()
            elif now and time.monotonic() - since > 0.5:
                return
            time.sleep(0.05)

    def programs(self):
        """The identifiers of the BPF programs that the tool holds."""
        return {int(found) for text in self.descriptors() for found in re.findall(r'^prog_id:\s+(\d+)', text, re.MULTILINE)}

    def map_memory(self):
        """Megabytes of the maps that the tool holds, as the kernel says."""
        maps = {}
        for text in self.descriptors():
            found = dict(re.findall(r'^(map_id|memlock):\s+(\d+)', text, re.MULTILINE))
            if 'map_id' in found:
                maps[found['map_id']] = int(found['memlock'])
        return sum(maps.values()) / 1048576

    def resident(self):
        """Megabytes of the process."""
        with open(f'/proc/{self.process.pid}/status') as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1)) / 1024

    def descriptors(self):
        try:
            names = os.listdir(f'/proc/{self.process.pid}/fdinfo')
        except OSError:
            return
        for name in names:
            try:
                with open(f'/proc/{self.process.pid}/fdinfo/{name}') as file:
                    yield file.read()
            except OSError:
                continue

    def stop(self):
        """Seconds from SIGINT to the end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        if self.process.stdout:
            self.process.stdout.read()
        self.process.wait()
        return time.monotonic() - began

    def errors(self):
        self.error.seek(0)
        return self.error.read().decode(errors='replace')


def nanoseconds_per(command, workload, divisor, names=None):
    """What the tool's programs took in the kernel while the workload ran, for each of its operations."""
    tool = Tool(command)
    sysctl = '/proc/sys/kernel/bpf_stats_enabled'
    try:
        own = tool.programs()
        with open(sysctl, 'w') as file:
            file.write('1')
        subprocess.run(workload, check=True, stdout=subprocess.DEVNULL)
        listing = json.loads(subprocess.run(['bpftool', '-j', 'prog', 'show'], capture_output=True, check=True).stdout)
    finally:
        with open(sysctl, 'w') as file:
            file.write('0')
        tool.stop()
    own = [each for each in listing if each['id'] in own and (names is None or re.search(names, each.get('name', '')))]
    total = sum(each.get('run_time_ns', 0) for each in own)
    if not total:
        raise Missing(f'no program of {command[0]} ran: {tool.errors()[:80]}')
    return total / divisor


def in_process(*command, benchmark='InProcessBenchmark', **options):
    """The numbers that a benchmark inside of one process prints, by their names."""
    binary = os.path.join(BUILT, benchmark)
    if not os.access(binary, os.X_OK):
        raise Missing(f'{benchmark} is not built; make bench builds it')
    output = subprocess.run([binary, *command], stdout=subprocess.PIPE, check=True, text=True, **options).stdout
    return {name: float(value) for name, value in (line.split() for line in output.splitlines())}
