# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""The part "client" of scripts/bench."""
import shutil
import tempfile
from pathlib import Path

from bench_common import (QEMU, Server, columns, measure, our_command,
                          qemu_command, table)


class Tower:
    """vhost-blk on a null store, behind so many proxies."""

    def __init__(self, build, folder, proxies):
        self.socket = f'{folder}/{proxies}-0'
        command = our_command(build, 'null', None, self.socket)
        self.list = [Server('vhost-blk', 'null', command, self.socket)]
        for number in range(proxies):
            below = self.socket
            self.socket = f'{folder}/{proxies}-{number + 1}'
            command = [str(build / 'examples' / 'proxy'), self.socket, below]
            self.list.append(Server('proxy', 'null', command, self.socket))

    def busy_ms(self):
        """Of all proxies: processor time up to now."""
        times = [Path(f'/proc/{proxy.process.pid}/schedstat').read_text()
                 for proxy in self.list[1:]]
        return sum(int(each.split()[0]) for each in times) / 1e6

    def stop(self):
        for server in reversed(self.list):
            server.stop()


class Places:
    """Where a device can be: name and socket, None for this process."""

    def __init__(self, options):
        self.options = options

    def __enter__(self):
        build = self.options.build
        self.folder = tempfile.TemporaryDirectory()
        self.servers = [Tower(build, self.folder.name, n) for n in range(3)]
        self.sockets = {name: tower.socket for name, tower in zip(
            ['vhost-blk', 'one proxy', 'two proxies'], self.servers)}
        self.towers = dict(zip(self.sockets, self.servers))
        if shutil.which(QEMU):
            socket = f'{self.folder.name}/qemu'
            self.servers.append(Server(
                QEMU, 'null', qemu_command('null', None, socket), socket))
            self.sockets[QEMU] = socket
        self.sockets['in-process'] = None
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()
        self.folder.cleanup()

    def measure(self, part, place):
        options = self.options
        socket = self.sockets[place]
        return measure(options.program(
            'client', f'--seconds={options.seconds}',
            *['--rounds=20'] * options.quick, part,
            *[socket] * bool(socket)))


def beside(value, other):
    return round(value / other, 2) if value and other else None


def client_control(places):
    names = [name for name in places.sockets if places.sockets[name]]
    best = {}
    for _ in range(places.options.runs):
        for name in names:
            for what, us in places.measure('control', name).items():
                key = (what, name)
                best[key] = min(best.get(key, us), us)
    rows = []
    for what in ['connect', 'first_request', 'round_trip', 'table_of_8']:
        for name in names:
            ours = best[what, 'vhost-blk']
            rows.append({'what': what, 'back_end': name,
                         'us': best[what, name],
                         'ratio': beside(best[what, name], ours)})
    table('the control side, microseconds, and how many times those of '
          'vhost-blk', ['what', 'back-end', 'us', 'ratio'],
          columns(rows, 'what', 'back_end', 'us', 'ratio'))
    return rows


def client_memory(places):
    """A back-end without so many slots has no such row."""
    rows = []
    for name in ['vhost-blk', QEMU, 'in-process']:
        if name not in places.sockets:
            continue
        best = {}
        for _ in range(places.options.runs):
            for row in places.measure('memory', name):
                least = best.setdefault(row['regions'], row)
                for key, value in row.items():
                    least[key] = min(least[key], value)
        rows += [{'back_end': name, **row,
                  'ratio': beside(row['all'], row['add'] + row['remove'])}
                 for row in best.values()]
    table('one region more and less, or all of them anew, microseconds (over '
          'a socket more than 8 go and come one by one: no table holds them)',
          ['back-end', 'regions', 'add', 'remove', 'all', 'ratio'],
          columns(rows, 'back_end', 'regions', 'add', 'remove', 'all',
                  'ratio'))
    return rows


def client_rates(places):
    best, busy = {}, {}
    for _ in range(places.options.runs):
        for name in places.sockets:
            tower = places.towers.get(name)
            before = tower.busy_ms() if tower else 0
            for depth, kiops in places.measure('rate', name).items():
                key = (depth, name)
                best[key] = max(best.get(key, 0), kiops)
            busy[name] = tower.busy_ms() - before if tower else 0
    rows = [{'depth': int(depth), 'back_end': name, 'kiops': round(kiops, 1),
             'ratio': beside(kiops, best[depth, 'vhost-blk']),
             'proxies_busy_ms': round(busy[name], 1)}
            for (depth, name), kiops in sorted(
                best.items(), key=lambda item: int(item[0][0]))]
    table('random 4 KiB reads from nothing, polled, thousand a second, beside '
          'vhost-blk (and the processor time of the proxies in '
          f'{2 * places.options.seconds} s of that and their connection)',
          ['depth', 'back-end', 'kiops', 'ratio', 'ms'],
          columns(rows, 'depth', 'back_end', 'kiops', 'ratio',
                  'proxies_busy_ms'))
    return rows


def run_client(options):
    with Places(options) as places:
        return {'control': client_control(places),
                'memory': client_memory(places),
                'rates': client_rates(places)}
