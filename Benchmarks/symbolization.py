"""Rows about names: how fast, how right, and how much memory."""
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import common


def cplusplus_program():
    """A C++ program of more than 20 MB with debug information, the same in every run."""
    target = f'{common.WORK}/templates'
    if not os.path.exists(target):
        units = range(8)
        compilers = []
        for unit in units:
            compilers.append(subprocess.Popen(
                ['g++', '-std=c++17', '-O2', '-g', f'-DUNIT={unit}', '-c', '-o', f'{target}.{unit}.o', f'{common.HERE}/workloads/templates.cpp']))
            if len(compilers) % os.cpu_count() == 0:
                for compiler in compilers:
                    compiler.wait()
        if any(compiler.wait() for compiler in compilers):
            raise OSError('g++ failed')
        subprocess.run(['g++', '-o', target, *[f'{target}.{unit}.o' for unit in units]], check=True)
    return target


def swift_program():
    """swtrace itself before it is stripped: optimized Swift of 28 MB with the standard library, and debug information of its own part."""
    target = f'{common.WORK}/swtrace.unstripped'
    if not os.path.exists(target):
        shutil.copy(f'{common.BUILT}/swtrace', target)
    return target


def symbolizer():
    """The toolchain's llvm-symbolizer, else the system's."""
    folder = os.path.dirname(os.path.realpath(common.program('swift', *os.environ['PATH'].split(':'))))
    return common.program('llvm-symbolizer', folder, '/usr/bin')


def addresses(target):
    """Two files of 20,000 addresses in functions, chosen by size: in any, and in those whose lines are known."""
    files = f'{target}.any', f'{target}.lines'
    if not os.path.exists(files[1]):
        functions = []
        for line in subprocess.run(['nm', '-S', '--defined-only', target], capture_output=True, text=True, check=True).stdout.splitlines():
            fields = line.split()
            if len(fields) == 4 and fields[2] in 'tTwW':
                functions.append((int(fields[0], 16), int(fields[1], 16)))
        chance = random.Random(1)
        chosen = chance.choices(functions, weights=[size for _, size in functions], k=100_000)
        candidates = [start + chance.randrange(size) for start, size in chosen]
        known = [address for address, frames in zip(candidates, answers_of_llvm(target, candidates)) if frames[0][1] > 0]
        for name, part in zip(files, (candidates[:20_000], known[:20_000])):
            with open(name, 'w', encoding='ascii') as file:
                file.write(''.join(f'{address:#x}\n' for address in part))
    return files


def answers_of_llvm(target, wanted):
    """For each address its functions and lines, innermost first."""
    text = ''.join(f'{address:#x}\n' for address in wanted)
    output = subprocess.run(
        [symbolizer(), f'--obj={target}', '--inlines', '--no-demangle', '--output-style=JSON'],
        input=text, capture_output=True, check=True, text=True).stdout
    return [[(frame['FunctionName'], frame['Line']) for frame in json.loads(line)['Symbol']] for line in output.splitlines()]


def answers_of_swtrace(target, wanted):
    text = ''.join(f'{address:#x}\n' for address in wanted)
    output = subprocess.run([common.SWTRACE, 'symbolize', target, '--format', 'json'], input=text, capture_output=True, check=True, text=True).stdout
    return [[(frame.get('mangled', frame['function']), frame.get('line', 0)) for frame in json.loads(line)['frames']]
            for line in output.splitlines()]


def equal_answers(target):
    """Percent of addresses with the same functions, as people read them, and lines in the same order. Says what the others differ in."""
    wanted = []
    for name in addresses(target):
        with open(name, encoding='ascii') as file:
            wanted += [int(line, 16) for line in file]
    ours, theirs = answers_of_swtrace(target, wanted), answers_of_llvm(target, wanted)
    mangled = sorted({name for answer in ours + theirs for name, _ in answer})
    readable = dict(zip(mangled, subprocess.run(
        ['c++filt'], input='\n'.join(mangled), capture_output=True, check=True, text=True).stdout.splitlines()))
    classes = {}
    for address, mine, other in zip(wanted, ours, theirs):
        if len(mine) != len(other):
            kind = 'other inlined calls'
        elif [line for _, line in mine] != [line for _, line in other]:
            kind = 'another line'
        elif [readable[name] for name, _ in mine] != [readable[name] for name, _ in other]:
            kind = 'another name'
        else:
            continue
        classes.setdefault(kind, []).append((address, mine, other))
    for kind, found in classes.items():
        print(f'{target.rsplit("/", 1)[-1]}: {len(found)} x {kind}, first at {found[0][0]:#x}: {found[0][1:]}', file=sys.stderr)
    return 100 - 100 * sum(map(len, classes.values())) / len(wanted)


def usage_of(command, input_file, codes=(0,)):
    """Seconds and KiB of a command that may end with one of these codes."""
    # A small process starts it: what a program's parent had in memory counts as the program's.
    launcher = [common.program('time', '/usr/bin'), '--quiet', '--format', '%M', '--output', f'{common.WORK}/memory']
    with open(input_file, encoding='ascii') as file:
        started = time.monotonic()
        code = subprocess.run([*launcher, *command], stdin=file, stdout=subprocess.DEVNULL, check=False).returncode
        taken = time.monotonic() - started
    if code not in codes:
        raise subprocess.CalledProcessError(code, command[0])
    with open(f'{common.WORK}/memory', encoding='ascii') as file:
        return taken, int(file.read())


def symbols():
    for name, make in ('C++', cplusplus_program), ('Swift', swift_program):
        target = make()
        llvm = 'llvm-symbolizer --inlines'
        commands = {
            'swtrace': [common.SWTRACE, 'symbolize', target], llvm: [symbolizer(), f'--obj={target}', '--inlines'],
            'eu-addr2line': ['eu-addr2line', '-f', '-i', '-e', target]}
        wanted = addresses(target)[1]
        with open(wanted, encoding='ascii') as file:
            few = ''.join(line for line, _ in zip(file, range(100)))
        with open(f'{wanted}.few', 'w', encoding='ascii') as file:
            file.write(few)

        def seconds(who, commands=commands, wanted=wanted):
            return lambda: usage_of(commands[who], wanted)[0]

        def megabytes(who, commands=commands, wanted=wanted):
            return lambda: usage_of(commands[who], wanted)[1] / 1024

        def warm(target=target, wanted=wanted):
            with open(wanted, encoding='ascii') as file:
                return common.in_process('addresses', target, stdin=file)['warm'] / 1e6

        yield f'20,000 addresses of a {name} program, cold', 's', '≤ 0.67 x', seconds('swtrace'), {llvm: seconds(llvm)}
        yield 'the same, peak memory', 'MB', '≤ 0.6 x', megabytes('swtrace'), {llvm: megabytes(llvm)}
        # The incumbent would take minutes for all. It ends with 1 where one of the functions has no debug information.
        yield 'an address of them', 'us', '≤ 0.01 x', lambda seconds=seconds: seconds('swtrace')() * 1e6 / 20_000, {
            'eu-addr2line -i': lambda commands=commands, wanted=wanted: usage_of(commands['eu-addr2line'], f'{wanted}.few', (0, 1))[0] * 1e6 / 100}
        yield 'the same again in one process, a second', 'million', '≥ 2', warm, {}
        yield 'answers equal to llvm-symbolizer\'s, of 40,000', '%', '≥ 99.5', lambda target=target: equal_answers(target), {}


def names():
    def mean(select):
        def measure():
            return common.in_process('names', input=''.join(f'{name}\n' for name in select()))['mean'] / 1000
        return measure

    def toolchain():
        return os.path.dirname(os.path.realpath(common.program('swift', *os.environ['PATH'].split(':'))))

    def cplusplus():
        """Of clang's functions, one in four."""
        output = subprocess.run(['nm', '--defined-only', f'{toolchain()}/clang'], capture_output=True, check=True, text=True).stdout
        return [line.split()[-1] for line in output.splitlines() if ' _Z' in line and line.split()[-2] in 'tTwW'][::4]

    def swift():
        """Of the standard library."""
        library = f'{toolchain()}/../lib/swift/linux/libswiftCore.so'
        output = subprocess.run(['nm', '-D', '--defined-only', library], capture_output=True, check=True, text=True).stdout
        return [line.split()[-1] for line in output.splitlines() if ' $s' in line]

    yield 'demangling a name, Swift\'s standard library', 'us', '≤ 1.5', mean(swift), {}
    yield 'demangling a name, clang', 'us', '≤ 1.5', mean(cplusplus), {}


def short_processes():
    """200 processes of 20 ms each: the share of their samples whose innermost frame has a name."""
    workload = ['sh', '-c', f'i=0; while [ $i -lt 200 ]; do {common.build("burst")}; i=$((i+1)); done']

    def ours():
        output = subprocess.run([common.SWTRACE, 'profile', '-F', '999', '--format', 'json', '--', *workload],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout
        stacks = [each for each in map(json.loads, output.splitlines()) if each['type'] == 'stack' and each['comm'] == 'burst']
        named = [each for each in stacks if each['frames'] and re.match(r'(?!\[unknown\]|.*\+0x)', each['frames'][0]['function'])]
        return 100 * sum(each['count'] for each in named) / sum(each['count'] for each in stacks)

    def theirs():
        with tempfile.TemporaryFile() as file:
            tool = common.Tool([common.program('bpftrace'), '-e', 'profile:hz:999 /comm == "burst"/ { @[ustack] = count(); }'], output=file)
            subprocess.run(workload, check=True)
            tool.stop()
            file.seek(0)
            stacks = re.findall(r'@\[\n?\s*(\S*).*?\]: (\d+)', file.read().decode(errors='replace'), re.DOTALL)
        named = sum(int(count) for name, count in stacks if name and not re.match(r'0x|\]', name))
        return 100 * named / max(sum(int(count) for _, count in stacks), 1)

    yield '200 processes of 20 ms: samples with a name', '%', '≥ 95', ours, {'bpftrace': theirs}


def memory(process, name):
    """Of a process in MB: its peak (VmHWM of status), or its part of what is in memory now (Pss of smaps_rollup); 0 when it has ended."""
    try:
        with open(f'/proc/{process}/{"status" if name == "VmHWM" else "smaps_rollup"}', encoding='ascii') as status:
            found = re.search(rf'^{name}:\s+(\d+)', status.read(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) / 1024 if found else 0


def descendants(process):
    found = []
    try:
        with open(f'/proc/{process}/task/{process}/children', encoding='ascii') as file:
            children = file.read().split()
    except OSError:
        return found
    for child in children:
        found += [int(child), *descendants(int(child))]
    return found


def compilation():
    """30 s of a compiler to a flame graph; what comes after the recording counts."""
    swiftc = os.path.join(os.path.dirname(os.path.realpath(common.program('swift', *os.environ['PATH'].split(':')))), 'swiftc')
    sources = os.path.join(os.path.dirname(common.HERE), 'Sources', 'Profiles')
    script = f'{common.WORK}/compile'
    with open(script, 'w', encoding='utf-8') as file:
        file.write(f"""timeout 30 sh -c 'while :; do
            {swiftc} -O -wmo -parse-as-library -package-name p -module-name Profiles -c -o {common.WORK}/profiles.o {sources}/*.swift
            done' >/dev/null 2>&1
            date +%s.%N >{common.WORK}/ended""")
    # Debian has FlameGraph's flamegraph.pl in another package, and not its stackcollapse-perf.pl, which perf's own script stands for.
    draw = '/usr/share/perl5/Devel/NYTProf/flamegraph.pl'

    def run_all(recorder, *steps, limit=float('inf')):
        """Seconds from the end of the recorded command to the end of all, and the peak memory in MB of what ran at a time.

        Ends what takes longer than the limit; the seconds are then fewer than it would have taken."""
        largest = 0
        for command, output in [(recorder, os.devnull), *steps]:
            is_recorder = command is recorder
            with open(output, 'wb') as file:
                process = subprocess.Popen(
                    command, stdout=file, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)
                started = time.monotonic()
                while process.poll() is None:
                    if not is_recorder and time.monotonic() - started > limit:
                        os.killpg(process.pid, signal.SIGKILL)
                    # What the recorder started is what it recorded; what the others started does their work.
                    largest = max(largest, memory(process.pid, 'VmHWM'))
                    others = [] if is_recorder else descendants(process.pid)
                    if others:
                        largest = max(largest, sum(memory(each, 'Pss') for each in [process.pid, *others]))
                    time.sleep(0.02 if others else 0.001 if not is_recorder or os.path.exists(f'{common.WORK}/ended') else 0.05)
                if process.returncode == -signal.SIGKILL:
                    break
                if process.returncode:
                    raise subprocess.CalledProcessError(process.returncode, command[0])
        with open(f'{common.WORK}/ended', encoding='ascii') as file:
            taken = time.time() - float(file.read())
        os.remove(f'{common.WORK}/ended')
        return taken, largest

    def ours():
        return run_all([common.SWTRACE, 'profile', '-F', '999', '-o', f'{common.WORK}/compile.svg', '--', 'sh', script])

    def theirs(*options, **more):
        def measure():
            perf, data = common.program('perf'), f'{common.WORK}/perf.data'
            if not os.path.exists(draw):
                raise common.Missing('flamegraph.pl is not installed')
            return run_all(
                [perf, 'record', '-F', '999', *options, '-o', data, '--', 'sh', script],
                ([perf, 'script', 'report', 'stackcollapse', '-i', data], f'{common.WORK}/folded'),
                (['perl', draw, f'{common.WORK}/folded'], f'{common.WORK}/perf.svg'), **more)
        return measure

    rounds = {}

    def seconds(who, measure):
        def take():
            # What would take minutes is measured once.
            if who == unwinding and who in rounds:
                return rounds[who][-1][0]
            rounds.setdefault(who, []).append(measure())
            return rounds[who][-1][0]
        return take

    def megabytes(who):
        return lambda: statistics.median(peak for _, peak in rounds[who])

    # The compiler has no frame pointers: stacks along them end soon. perf's way to better ones takes minutes.
    unwinding = 'perf --call-graph dwarf, ended after 60 s'
    others = {'perf -g': theirs('-g'), unwinding: theirs('--call-graph', 'dwarf', limit=60)}
    yield '30 s of swiftc at 999 Hz to SVG, after the recording', 's', '≤ 0.05 x', seconds('swtrace', ours), {
        who: seconds(who, measure) for who, measure in others.items()}
    yield 'the same, peak memory', 'MB', '≤ 0.25 x', megabytes('swtrace'), {who: megabytes(who) for who in others}


ROWS = [symbols, names, short_processes, compilation]
