"""Rows about stacks: what a sample costs, in the kernel, in bytes, and in time of the workload."""
import json
import os
import re
import subprocess
import time

import common

# Of the workload besides its calls: three of the C library, main, the last call, and what it works in.
OUTER_FRAMES = 6


def workload(name, *flags):
    """A workload with these compiler flags, compiled once."""
    target = f'{common.WORK}/{name}{"".join(flags)}'
    if not os.path.exists(target):
        subprocess.run(['cc', '-O2', *flags, '-o', target, f'{common.HERE}/workloads/{name}.c'], check=True)
    return target


def swift_workload(name):
    """An optimized Swift program without debug information, compiled once."""
    target = f'{common.WORK}/{name}'
    if not os.path.exists(target):
        subprocess.run([common.program('swiftc', *os.environ['PATH'].split(':')), '-O', '-parse-as-library', '-o', target,
                        f'{common.HERE}/workloads/{name}.swift'], check=True, stderr=subprocess.DEVNULL)
    return target


class Working:
    """A program that works on the last processor until the end of the block."""

    def __init__(self, *command):
        self.command = ['taskset', '-c', str(os.cpu_count() - 1), *command]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE)
        self.process.stdout.read(1)
        return self.process.pid

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def nanoseconds_a_sample(options, *command):
    """What one sample of a program takes in the kernel, when its rules are known."""
    def programs(own):
        listing = json.loads(subprocess.run(['bpftool', '-j', 'prog', 'show'], capture_output=True, check=True).stdout)
        own = [each for each in listing if each['id'] in own and each.get('name', '').startswith('sample')]
        return sum(each.get('run_time_ns', 0) for each in own), sum(each.get('run_cnt', 0) for each in own)

    def measure():
        with Working(*command) as process:
            tool = common.Tool([common.SWTRACE, 'profile', '-U', '-F', '1999', '-C', str(os.cpu_count() - 1), '-p', str(process), *options])
            sysctl = '/proc/sys/kernel/bpf_stats_enabled'
            try:
                with open(sysctl, 'w', encoding='ascii') as file:
                    file.write('1')
                own = tool.programs()
                time.sleep(1)
                before = programs(own)
                time.sleep(2)
                after = programs(own)
            finally:
                with open(sysctl, 'w', encoding='ascii') as file:
                    file.write('0')
                tool.stop()
        if after[1] == before[1]:
            raise common.Missing('no sample was taken')
        return (after[0] - before[0]) / (after[1] - before[1])
    return measure


def cost():
    for frames in 14, 38, 115:
        depth = str(frames - OUTER_FRAMES)
        yield f'a sample of {frames} frames, in the kernel', 'ns', '≤ 1.2 x', \
            nanoseconds_a_sample(['--unwind', 'dwarf'], workload('depth', '-fomit-frame-pointer'), depth), {
                'bpf_get_stack with frame pointers, 3 frames fewer':
                    nanoseconds_a_sample(['--unwind', 'fp'], workload('depth', '-fno-omit-frame-pointer'), depth)}
    program = swift_workload('awaiting')
    yield 'a sample in a chain of 12 async functions, in the kernel', 'ns', '≤ 1.25 x', nanoseconds_a_sample([], program), {
        'without those that await': nanoseconds_a_sample(['--async', 'physical'], program)}


def tables():
    """What the rules of a file take to make, for each MB of its .eh_frame."""
    def milliseconds(path):
        sections = subprocess.run(['readelf', '-WS', path], capture_output=True, check=True, text=True).stdout
        size = int(re.search(r' \.eh_frame +\S+ +\S+ +\S+ +(\S+)', sections).group(1), 16)
        return lambda: common.in_process('tables', path)['milliseconds'] / (size / 1e6)

    toolchain = os.path.dirname(os.path.realpath(common.program('swift', *os.environ['PATH'].split(':'))))
    libraries = {'the C library': '/lib/x86_64-linux-gnu/libc.so.6', 'libcrypto': '/lib/x86_64-linux-gnu/libcrypto.so.3',
                 'libswiftCore': f'{toolchain}/../lib/swift/linux/libswiftCore.so', 'clang': f'{toolchain}/clang',
                 'swiftc': f'{toolchain}/swift-frontend'}
    for name, path in libraries.items():
        if os.path.exists(path):
            yield f'rules of a MB of .eh_frame, {name}', 'ms', '≤ 10', milliseconds(os.path.realpath(path)), {}


def sample_bytes():
    """Of 38 frames."""
    depth = str(38 - OUTER_FRAMES)
    # The event of probes/include/stack.h and the header of a record of the ring (kernel/bpf/ringbuf.c).
    event, header, address = 88, 8, 8

    def ours():
        with Working(workload('depth'), depth) as process:
            output = subprocess.run([common.SWTRACE, 'profile', '-U', '-F', '199', '-p', str(process), '-d', '2', '--no-inline', '--format', 'json'],
                                    stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        stacks = [each for each in map(json.loads, output.splitlines()) if each['type'] == 'stack']
        samples = sum(each['count'] for each in stacks)
        return sum(each['count'] * (header + event + address * len(each['frames'])) for each in stacks) / samples

    def theirs():
        data = f'{common.WORK}/bytes.data'
        with Working(workload('depth'), depth) as process:
            subprocess.run([common.program('perf'), 'record', '-F', '199', '--call-graph', 'dwarf', '-o', data, '-p', str(process), '--',
                            'sleep', '2'], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        listing = subprocess.run([common.program('perf'), 'script', '-i', data, '-F', 'comm', '--no-inline'], capture_output=True,
                                 check=True, text=True).stdout
        return os.path.getsize(data) / listing.count('depth')

    yield 'bytes of a sample of 38 frames', 'B', '≤ 0.05 x', ours, {'perf --call-graph dwarf': theirs}


def slowdown():
    """How much longer a program takes that is sampled."""
    command = ['taskset', '-c', str(os.cpu_count() - 1), workload('depth'), str(38 - OUTER_FRAMES), '12000']

    def seconds(*prefix):
        started = time.monotonic()
        subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.monotonic() - started

    def percent(*recorder):
        def measure():
            tool = common.Tool(recorder) if recorder[0] == common.SWTRACE else subprocess.Popen(
                recorder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            try:
                sampled = seconds()
            finally:
                if recorder[0] == common.SWTRACE:
                    tool.stop()
                else:
                    tool.terminate()
                    tool.wait()
            return 100 * (sampled / seconds() - 1)
        return measure

    for frequency in '99', '999':
        record = ['perf', 'record', '-F', frequency, '-a', '-o', f'{common.WORK}/slow.data']
        yield f'slowdown by samples at {frequency} Hz', '%', '', percent(common.SWTRACE, 'profile', '-F', frequency), {
            'perf record -g': percent(*record, '-g'), 'perf record --call-graph dwarf': percent(*record, '--call-graph', 'dwarf')}


def footprint():
    """Of the profiler, at 99 Hz for 5 s, with nothing to see and with 200 processes that work."""
    results = {}

    def usage(recorder, processes):
        workers = [subprocess.Popen([workload('depth'), str(n % 40)], stdout=subprocess.PIPE) for n in range(processes)]
        for worker in workers:
            worker.stdout.read(1)
        started = time.monotonic()
        process = subprocess.Popen(recorder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(5)
            with open(f'/proc/{process.pid}/schedstat', encoding='ascii') as file:
                busy = int(file.read().split()[0]) / 1e9 / (time.monotonic() - started)
            with open(f'/proc/{process.pid}/status', encoding='ascii') as file:
                memory = int(re.search(r'VmHWM:\s+(\d+)', file.read()).group(1)) / 1024
        finally:
            process.terminate()
            process.wait()
            for worker in workers:
                worker.kill()
                worker.wait()
                worker.stdout.close()
        return 100 * busy, memory

    def taken(who, recorder, processes):
        def measure():
            results[who, processes] = usage(recorder, processes)
            return results[who, processes][0]
        return measure

    for processes in 0, 200:
        perf = ['perf', 'record', '-F', '99', '-a', '--call-graph', 'dwarf', '-o', f'{common.WORK}/footprint.data']
        name = f'{processes} busy processes' if processes else 'an idle machine'
        other = 'perf record --call-graph dwarf'
        yield f'profiler of {name}: a processor\'s time', '%', '', taken('swtrace', [common.SWTRACE, 'profile', '-F', '99'], processes), {
            other: taken(other, perf, processes)}
        yield 'the same, peak memory', 'MB', '', lambda processes=processes: results['swtrace', processes][1], {
            other: lambda processes=processes: results[other, processes][1]}


ROWS = [cost, tables, sample_bytes, slowdown, footprint]
