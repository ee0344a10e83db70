"""Workloads of the soak: programs that come and go, containers that do, and services that stay. All in cgroups of its own."""
import bisect
import contextlib
import os
import random
import re
import subprocess
import threading
import time

import agentprocess
import common

# A burst of short programs, a second of rest, again.
STORM = 'while :; do i=0; while [ $i -lt 300 ]; do /bin/true; i=$((i + 1)); done; sleep 1; done'
# What a container does: a little work in programs that it starts.
INSIDE = 'while :; do i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; ls / >/dev/null; sleep 0.1; done'


class Groups:
    """A cgroup with what it has below; what an earlier run left is removed first."""

    def __init__(self, name):
        with open('/proc/self/mountinfo', encoding='utf-8') as file:
            mount = re.search(r'^\S+ \S+ \S+ / (\S+) .* - cgroup2 ', file.read(), re.MULTILINE)
        if not mount:
            raise common.Missing('no cgroup2 file system is mounted')
        self.root = f'{mount.group(1)}/{name}'
        self.remove(self.root)
        os.mkdir(self.root)

    def make(self, path):
        os.makedirs(f'{self.root}/{path}', exist_ok=True)
        return f'{self.root}/{path}'

    @staticmethod
    def start(group, *command):
        """A command in a group, with all that it starts."""
        return subprocess.Popen(['sh', '-c', 'echo 0 >"$0/cgroup.procs" && exec "$@"', group, *command],
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @staticmethod
    def remove(group):
        """Kills all in a group and below it, and removes it, with the groups."""
        def gone():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    with open(f'{folder}/cgroup.procs', encoding='ascii') as file:
                        for line in file:
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(int(line), 9)
                    os.rmdir(folder)
            return not os.path.exists(group)
        agentprocess.wait_until(gone, 30, f'{group} is removed')

    def dying(self):
        """Groups that were removed and that something still holds."""
        with open(f'{self.root}/cgroup.stat', encoding='ascii') as file:
            return int(re.search(r'^nr_dying_descendants (\d+)', file.read(), re.MULTILINE).group(1))


class Containers(threading.Thread):
    """Containers of pods that live for some seconds each, with namespaces of their own."""

    AT_A_TIME = 6

    def __init__(self, groups):
        super().__init__(daemon=True)
        self.groups, self.ending, self.made, self.error = groups, threading.Event(), 0, None
        self.chance = random.Random(7)
        self.alive = []

    def digits(self, count):
        return ''.join(self.chance.choices('0123456789abcdef', k=count))

    def run(self):
        try:
            while not self.ending.wait(0.3):
                if len(self.alive) < self.AT_A_TIME:
                    self.alive.append((time.monotonic() + self.chance.uniform(0.5, 8), *self.begin()))
                self.alive = [each for each in self.alive if not self.is_over(*each)]
        except (OSError, TimeoutError) as error:
            self.error = error

    def begin(self):
        number = '_'.join(self.digits(count) for count in (8, 4, 4, 4, 12))
        pod = f'kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{number}.slice'
        scope = f'{self.chance.choice(["docker", "cri-containerd", "crio", "libpod"])}-{self.digits(64)}.scope'
        group = self.groups.make(f'{pod}/{scope}')
        self.made += 1
        return group, self.groups.start(group, 'unshare', '--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child', '--mount-proc',
                                        'sh', '-c', INSIDE)

    def is_over(self, end, group, process):
        if time.monotonic() < end:
            return False
        self.groups.remove(os.path.dirname(group))
        process.wait()
        return True

    def stop(self):
        self.ending.set()
        self.join()


class Witness(threading.Thread):
    """Notes how much a process has run, to tell later how much that was between two times."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.ending, self.times, self.runtimes = process, threading.Event(), [], []

    def run(self):
        while not self.ending.wait(0.2):
            try:
                with open(f'/proc/{self.process}/schedstat', encoding='ascii') as file:
                    runtime = int(file.read().split()[0])
            except OSError:
                return
            self.times.append(time.time())
            self.runtimes.append(runtime)

    def runtime(self, start, end):
        """Nanoseconds."""
        return self.at(end) - self.at(start)

    def at(self, moment):
        index = min(max(bisect.bisect(self.times, moment), 1), len(self.times) - 1)
        (earlier, later), (less, more) = self.times[index - 1:index + 1], self.runtimes[index - 1:index + 1]
        return less + (more - less) * (moment - earlier) / (later - earlier)


class Churn:
    """All of it, until the end of the block."""

    # The service that always runs, as the agent calls it.
    STEADY = 'steady'

    def __init__(self):
        self.groups = Groups('swtrace-soak')

    def __enter__(self):
        try:
            services = common.build('services')
            group = self.groups.make(f'{self.STEADY}.service')
            self.started = [self.groups.start(group, 'taskset', '-c', str(os.cpu_count() - 1), services, '1', '0')]
            steady = agentprocess.wait_until(lambda: self.named('busy-0', group), 30, 'the steady service')
            self.witness = Witness(steady)
            self.witness.start()
            self.started.append(self.groups.start(self.groups.make('services'), services, '0', '50'))
            self.started.append(self.groups.start(self.groups.make('storm'), 'sh', '-c', STORM))
            self.containers = Containers(self.groups)
            self.containers.start()
            return self
        except BaseException:
            self.groups.remove(self.groups.root)
            raise

    @staticmethod
    def named(name, group):
        with open(f'{group}/cgroup.procs', encoding='ascii') as file:
            for process in map(int, file):
                with contextlib.suppress(OSError), open(f'/proc/{process}/comm', encoding='utf-8') as comm:
                    if comm.read().strip() == name:
                        return process
        return None

    def quiet(self):
        """Ends the workloads; the group that they were in is left to be looked at."""
        self.witness.ending.set()
        self.witness.join()
        self.containers.stop()
        for name in os.listdir(self.groups.root):
            if os.path.isdir(f'{self.groups.root}/{name}'):
                self.groups.remove(f'{self.groups.root}/{name}')
        for process in self.started:
            process.wait()

    def __exit__(self, *_):
        self.containers.stop()
        self.witness.ending.set()
        self.groups.remove(self.groups.root)
