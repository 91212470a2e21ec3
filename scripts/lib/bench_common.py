# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""What the parts of scripts/bench share: programs, servers, tables."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

FILE_SIZE = 256 << 20
NULL_SIZE = 1 << 30
PATIENCE = 30
QEMU = 'qemu-storage-daemon'


def measure(command):
    """Runs a program that prints JSON."""
    result = subprocess.run(command, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, check=False)
    if result.returncode != 0:
        sys.exit(f'bench: {command[0]} ended with {result.returncode}')
    return json.loads(result.stdout)


def table(title, headings, rows):
    """Prints rows of words, numbers and None."""
    def cell(value):
        return '-' if value is None else str(value)

    lines = [headings] + [[cell(value) for value in row] for row in rows]
    widths = [max(len(line[i]) for line in lines)
              for i in range(len(headings))]
    words = [any(isinstance(row[i], str) for row in rows)
             for i in range(len(headings))]
    print(f'\n{title}')
    for line in lines:
        print('  '.join(
            text.ljust(width) if left else text.rjust(width)
            for text, width, left in zip(line, widths, words)).rstrip())


def columns(rows, *keys):
    return [[row[key] for key in keys] for row in rows]


class Server:
    """A program that serves one block device on a socket."""

    def __init__(self, name, store, command, socket):
        self.name = name
        self.store = store
        self.socket = socket
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE
        while not os.path.exists(socket):
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f'bench: {name} does not serve')
            time.sleep(0.01)

    def blocks(self):
        return (NULL_SIZE if self.store == 'null' else FILE_SIZE) // 4096

    def resident(self):
        """KiB: all, and without the guest's memory."""
        fields = {}
        status = Path(f'/proc/{self.process.pid}/status').read_text()
        for line in status.splitlines():
            name, _, value = line.partition(':')
            fields[name] = value.split()
        total = int(fields['VmRSS'][0])
        return total, total - int(fields['RssShmem'][0])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def qemu_command(store, disk, socket):
    block = ('driver=null-co,node-name=d,read-zeroes=on,'
             f'size={NULL_SIZE}' if store == 'null' else
             f'driver=file,node-name=d,filename={disk},aio=threads')
    return [QEMU, '--blockdev', block, '--export',
            'type=vhost-user-blk,id=e,node-name=d,writable=on,num-queues=1,'
            f'addr.type=unix,addr.path={socket}']


def our_command(build, store, disk, socket):
    what = f'--null={NULL_SIZE}' if store == 'null' else f'--blk-file={disk}'
    return [str(build / 'tools' / 'vhost-blk'), what, '--num-queues=1',
            '--workers=1', f'--socket-path={socket}']
