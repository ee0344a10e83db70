#!/usr/bin/env python3
"""Summarize one run of the test bundle: results.py NAME EVENTS... --code CODE [--seconds S] [--may-skip REGEX] [--again FILE]

EVENTS is what Swift Testing wrote for --event-stream-output-path (version 0: one JSON record a line); a test that is
in several counts as in the last of them. Prints
`NAME: N passed, N failed[, N skipped] (S s)` and the text of every failure. A test that started and never
ended counts as failed: it brought the process down. Exit code 1 if a test failed, if no test passed, if a
test was skipped whose identifier REGEX does not match, or if the run ended with a code other than 0.
FILE gets a --filter that selects the tests that have not passed; nothing where not only tests are wrong.
"""
import argparse
import json
import re
import sys
import textwrap


class Test:
    def __init__(self, identifier):
        self.identifier, self.name = identifier, identifier.rsplit('/', 1)[0]
        self.state, self.texts = None, []


def read(path, tests):
    """Reads the tests into `tests` by identifier, suites left out. Returns the texts of failures that belong to no test."""
    stray = []
    try:
        with open(path, encoding='utf-8', errors='replace') as file:
            lines = file.readlines()
    except OSError as error:
        return [f'no results: {error.strerror}']
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:      # cut off in the middle by a crash
            continue
        payload = record.get('payload', {})
        if record.get('kind') == 'test':
            if payload.get('kind') == 'function':
                tests.setdefault(payload['id'], Test(payload['id']))
            continue
        kind, test = payload.get('kind'), tests.get(payload.get('testID'))
        text = '\n'.join(message['text'] for message in payload.get('messages', []))
        if kind == 'testStarted' and test:
            test.state, test.texts = 'started', []
        elif kind == 'testSkipped' and test:
            test.state, test.texts = 'skipped', [text]
        elif kind == 'testEnded' and test and test.state != 'skipped':
            symbols = {message['symbol'] for message in payload.get('messages', [])}
            test.state = 'failed' if 'fail' in symbols else 'passed'
        elif kind == 'issueRecorded' and not payload.get('issue', {}).get('isKnown'):
            place = payload.get('issue', {}).get('sourceLocation') or {}
            where = f'{place["fileID"]}:{place["line"]}: ' if 'fileID' in place else ''
            case = f'with {argument}: ' if (argument := payload.get('_testCase', {}).get('displayName')) else ''
            (test.texts if test else stray).append(where + case + text)
    return stray


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('name')
    parser.add_argument('events', nargs='+')
    parser.add_argument('--code', type=int, required=True, help='exit code of the run')
    parser.add_argument('--seconds', type=int, help='how long it took')
    parser.add_argument('--may-skip', metavar='REGEX', help='tests that may be skipped')
    parser.add_argument('--again', metavar='FILE', help='where to put the --filter of the tests that have not passed')
    options = parser.parse_args()

    tests, problems = {}, []
    for path in options.events:
        problems += read(path, tests)
    of = {state: [] for state in ('passed', 'failed', 'skipped', 'started')}
    for test in tests.values():
        if test.state:
            of[test.state].append(test)
    forbidden = [t for t in of['skipped'] if not (options.may_skip and re.search(options.may_skip, t.identifier))]
    # What belongs to no test, and an end that none explains, would not come to light in a run of some tests.
    is_broken = bool(problems) or options.code > 1 and not of['started']
    problems += [f'{t.name} never ended: the test process died or was stopped in it' for t in of['started']]
    problems += [f'{t.name} was skipped: {"; ".join(t.texts)}' for t in forbidden]
    if not of['passed'] and not of['failed'] and not of['started']:
        problems.append('no test ran')
    if options.code and not of['failed'] and not problems:
        problems.append(f'every test passed, but the run ended with exit code {options.code}')

    # What is wrong with the run as a whole counts as one failed test each, so that no sum hides it.
    failed = len(of['failed']) + len(problems)
    if options.again:
        with open(options.again, 'w', encoding='utf-8') as file:
            if not is_broken:
                file.write('|'.join(re.escape(t.name) + '/' for t in tests.values() if t.state != 'passed'))
    summary = f'{options.name}: {len(of["passed"])} passed, {failed} failed'
    if of['skipped']:
        summary += f', {len(of["skipped"])} skipped'
    print(summary + (f' ({options.seconds} s)' if options.seconds is not None else ''))
    for test in of['failed']:
        print(f'  FAILED {test.name}')
        for text in test.texts:
            print(textwrap.indent(text, '    '))
    for problem in problems:
        print(f'  FAILED {problem}')
    for test in of['skipped']:
        if test not in forbidden:
            print(f'  skipped {test.name}: {"; ".join(test.texts)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
