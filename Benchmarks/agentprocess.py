"""The agent as a process: started, asked over HTTP, and what it takes."""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.parse

import common

# Seconds of a window; it begins at a multiple.
WINDOW = 10
TYPES = 'cpu', 'off_cpu'


def free_port():
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


def wait_until(condition, seconds, what):
    """What the condition gives, as soon as it is true of it."""
    end = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f'{what}: not within {seconds} s')
        time.sleep(0.1)
    return result


class Agent(common.Tool):
    """An agent with a store of its own; settings are variables of its environment."""

    def __init__(self, binary, store, log, **settings):
        self.port = free_port()
        self.started = time.time()
        environment = {**os.environ, 'SWTRACE_STORE_PATH': store, 'SWTRACE_LISTEN': f'127.0.0.1:{self.port}', **settings}
        with open(log, 'ab') as output:
            # A session of its own: else it shares one share of the processors (sched_autogroup) with the workloads, which no service does.
            self.process = subprocess.Popen(
                [binary], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)

    @property
    def runs(self):
        return self.process.poll() is None

    def get(self, path, **parameters):
        """The answer's bytes; raises OSError when there is none that is good."""
        connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=30)
        try:
            connection.request('GET', path + ('?' + urllib.parse.urlencode(parameters) if parameters else ''))
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise OSError(f'{path}: {response.status} {body[:200].decode(errors="replace")}')
            return body
        except http.client.HTTPException as error:
            raise OSError(f'{path}: {error!r}') from error
        finally:
            connection.close()

    def answers(self, path='/healthz'):
        try:
            return self.get(path)
        except OSError:
            if not self.runs:
                raise OSError(f'the agent has ended by itself, with {self.process.returncode}') from None
            return None

    def wait_for(self, path, seconds=60):
        wait_until(lambda: self.answers(path), seconds, f'{path} of the agent')

    def timeline(self, kind, start, end):
        """By the beginning of each window: nanoseconds covered, events lost, the values by service, and nanoseconds between samples."""
        answer = json.loads(self.get('/api/v1/timeline', type=kind, **{'from': int(start)}, to=int(end), step=WINDOW, by='service'))
        return {
            answer['start'] + index * WINDOW: (
                covered, answer['lost'][index], {row['value']: row['sums'][index] for row in answer['rows'] if row['sums'][index]},
                answer['period'][index])
            for index, covered in enumerate(answer['covered'])}

    def metrics(self):
        """Numbers by name and label: `name{label="value"}`."""
        lines = self.get('/metrics').decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(' ', 1) for line in lines if not line.startswith('#'))}

    def kernel_objects(self):
        """The programs and maps that it holds, as ('prog', number) and ('map', number)."""
        return {(kind, int(number)) for text in self.descriptors()
                for kind, number in re.findall(r'^(prog|map)_id:\s+(\d+)', text, re.MULTILINE)}

    def taken(self):
        """What it has now: megabytes resident and of maps, descriptors, threads."""
        folder = f'/proc/{self.process.pid}'
        return {'resident': self.resident(), 'maps': self.map_memory(), 'descriptors': len(os.listdir(f'{folder}/fd')),
                'threads': len(os.listdir(f'{folder}/task')), 'processor': self.processor_time() / 1e9}

    def processor_time(self):
        """Nanoseconds that its threads have run; those that have ended count."""
        with open(f'/proc/{self.process.pid}/stat', encoding='ascii', errors='replace') as file:
            fields = file.read().rpartition(')')[2].split()
        # utime and stime, proc_pid_stat(5). /proc/PID/schedstat has the first thread only.
        return (int(fields[11]) + int(fields[12])) * 1_000_000_000 // os.sysconf('SC_CLK_TCK')

    def program_time(self):
        """Nanoseconds that its programs have run in the kernel; the agent has the kernel measure that."""
        own = self.programs()
        listing = json.loads(subprocess.run([common.program('bpftool'), '-j', 'prog', 'show'], capture_output=True, check=True).stdout)
        return sum(each.get('run_time_ns', 0) for each in listing if each['id'] in own)

    def kill(self):
        """Ends it at once; returns the time at which it was gone."""
        self.process.kill()
        self.process.wait()
        return time.time()

    def end(self, seconds=60):
        """Ends it in order; returns its exit status, that of SIGKILL when it took longer, and the seconds that it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.process.returncode, time.monotonic() - began
