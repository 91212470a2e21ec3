# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Runs a program's cases, each in a folder of its own, and prints a line in
cmocka's form for each."""
import subprocess
import sys
import tempfile
import traceback


def run_case(name, case, place):
    with tempfile.TemporaryDirectory(prefix='vhost-cli-') as folder:
        try:
            case(place(folder))
        except (AssertionError, OSError, ValueError, KeyError,
                subprocess.TimeoutExpired):
            traceback.print_exc(file=sys.stdout)
            print(f'[  FAILED  ] {name}', flush=True)
            return False
    print(f'[       OK ] {name}', flush=True)
    return True


def run_all(names, place=str):
    """All that are called test_...; place makes of a folder what a case gets.
    Returns the exit status."""
    cases = {name: case for name, case in names.items()
             if name.startswith('test_')}
    results = [run_case(name, case, place) for name, case in cases.items()]
    return 0 if all(results) else 1
