# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""usage: vhostctl.py PROGRAM VHOST-BLK: tests `vhostctl probe`.

Each case prints a line in cmocka's form; exit status 1 if one failed.
"""
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import time

from cases import run_all

PROGRAM, VHOST_BLK = map(os.path.abspath, sys.argv[1:])
PATIENCE = 60  # seconds; nothing here takes that long
OK, RUNTIME, USAGE = 0, 1, 2

# Requests that change nothing: GET_FEATURES, GET_PROTOCOL_FEATURES,
# SET_PROTOCOL_FEATURES (of this connection), GET_QUEUE_NUM, GET_CONFIG,
# GET_MAX_MEM_SLOTS.
HARMLESS = {1, 15, 16, 17, 24, 36}
BIT_30 = 1 << 30
VERSION_1 = 1 << 32
MQ, REPLY_ACK, CONFIG, SLOTS = 1 << 0, 1 << 3, 1 << 9, 1 << 15


def call(*args):
    return subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False,
                          timeout=PATIENCE)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def refused(*args, words=(), status=USAGE):
    """The program says in one line what is wrong with args."""
    result = call(*args)
    shown = f'{args}: {result.returncode} {result.stderr!r}'
    expect(result.returncode == status, shown)
    expect(result.stdout == '', f'{args}: stdout {result.stdout!r}')
    lines = result.stderr.splitlines()
    expect(len(lines) == 1 and lines[0].startswith('vhostctl: '), shown)
    for word in words:
        expect(word in lines[0], f'{shown}: no {word!r}')


def probe(*args):
    """What it says in JSON; as text it must have the same numbers."""
    result = call('probe', '--json', *args)
    expect(result.returncode == OK and not result.stderr, str(result))
    report = json.loads(result.stdout)
    text = call('probe', *args)
    expect(text.returncode == OK and not text.stderr, str(text))
    for name in report['features']['names']:
        expect(name in text.stdout, f'{name} in {text.stdout}')
    for name, value in report.get('config', {}).get('fields', {}).items():
        line = [words for words in map(str.split, text.stdout.splitlines())
                if words[:1] == [name]]
        expect(line and ' '.join(line[0][1:]) == str(value),
               f'{name} {value} in {text.stdout}')
    return report


class Backend:
    """A vhost-user back-end that has answers to questions, and says no to
    whoever asks for more of its config space than there is."""

    def __init__(self, path, features=VERSION_1, config=None, **more):
        self.features = features | BIT_30
        self.config = config
        self.protocol = MQ | REPLY_ACK | SLOTS | (CONFIG if config else 0)
        self.silent = more.get('silent')  # a request without an answer
        self.leaves = more.get('leaves')  # one after which it is gone
        self.queues = more.get('queues', 3)
        self.seen = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            with client, client.makefile('rb') as stream:
                while self.answer(client, stream):
                    pass

    def answer(self, client, stream):
        header = stream.read(12)
        if len(header) < 12:
            return False
        number, flags, size = struct.unpack('=3I', header)
        payload = stream.read(size)
        self.seen.append(number)
        if number == self.leaves:
            return False
        values = {1: self.features, 15: self.protocol, 17: self.queues,
                  36: 32}
        reply = None
        if number in values:
            reply = struct.pack('=Q', values[number])
        elif number == 24:
            offset, count = struct.unpack('=2I', payload[:8])
            reply = b''
            if self.config and offset + count <= len(self.config):
                reply = payload[:12] + self.config[offset:offset + count]
        elif flags & 8:
            reply = struct.pack('=Q', 0)
        if reply is not None and number != self.silent:
            client.sendall(struct.pack('=3I', number, 5, len(reply)) + reply)
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(PATIENCE)


def ask(folder, *args, **more):
    """Probes a back-end of its own, which sees nothing but questions."""
    path = os.path.join(folder, 'backend')
    with Backend(path, **more) as backend:
        report = probe(path, *args)
    os.unlink(path)
    expect(set(backend.seen) <= HARMLESS, f'it was asked {backend.seen}')
    return report


def test_cli_ctl_help_and_version(_):
    result = call('--help')
    expect(result.returncode == OK and not result.stderr, str(result))
    expect(result.stdout.startswith('usage: vhostctl '), result.stdout)
    expect(max(map(len, result.stdout.splitlines())) < 80, 'wide')
    result = call('--version')
    expect(result.returncode == OK, result.stderr)
    expect(result.stdout.split()[0] == 'vhostctl', result.stdout)


def test_cli_ctl_wrong_command_lines(_):
    refused(words=['command is needed'])
    refused('frob', words=['frob: no such command'])
    refused('probe', words=['one TARGET'])
    refused('probe', 'a', 'b', words=['one TARGET'])
    refused('probe', '--type=floppy', 'a', words=['--type=floppy'])
    refused('probe', '--timeout=0', 'a', words=['from 1 to'])
    refused('probe', '--timeout', words=['--timeout: needs a value'])
    refused('probe', '--frob', 'a', words=['--frob: no such option'])
    refused('probe', '--json=1', 'a', words=['--json=1'])


def test_cli_ctl_wrong_targets(folder):
    file = os.path.join(folder, 'file')
    with open(file, 'wb'):
        pass
    refused('probe', file, words=['neither a socket nor a device'])
    refused('probe', folder, words=['neither'])
    refused('probe', '/dev/null', words=['neither'])
    refused('probe', file + '2', words=['No such file'])
    path = os.path.join(folder, 'dead')
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    refused('probe', path, words=['refused'], status=RUNTIME)


def test_cli_ctl_disk(folder):
    image, path = os.path.join(folder, 'disk'), os.path.join(folder, 'socket')
    with open(image, 'wb') as file:
        file.truncate(1 << 20)
    program = subprocess.Popen([VHOST_BLK, f'--socket-path={path}', '-q',
                                f'--blk-file={image}', '--num-queues=4'])
    try:
        end = time.monotonic() + PATIENCE
        while not os.path.exists(path):
            expect(time.monotonic() < end, 'it listens')
            time.sleep(0.01)
        report = probe(path, '--type=blk')
        expect(report['kind'] == 'vhost-user', report)
        expect(report['queues'] == 4 and report['memory_slots'] == 509, report)
        expect({'FLUSH', 'MQ', 'VERSION_1', 'RING_PACKED'} <=
               set(report['features']['names']), report)
        expect({'MQ', 'CONFIG', 'INFLIGHT_SHMFD', 'BACKEND_REQ'} <=
               set(report['protocol_features']['names']), report)
        fields = report['config']['fields']
        expect(fields['capacity'] == 2048 and fields['num_queues'] == 4 and
               fields['blk_size'] == 512, fields)
        expect('cylinders' not in fields, fields)
        # a socket doesn't say what is behind it
        report = probe(path)
        expect('type' not in report, report)
        expect('bit 9' in report['features']['names'], report)
        expect('fields' not in report['config'], report)
        expect(bytes.fromhex(report['config']['bytes'])[:8] ==
               struct.pack('<Q', 2048), report)
        # and goes on as if nobody had been there
        expect(probe(path, '--type=blk')['config']['fields'] == fields, '')
    finally:
        program.terminate()
        expect(program.wait(PATIENCE) == 0, 'it ends')


def test_cli_ctl_config_of_each_type(folder):
    cases = {
        'net': (1 << 5 | 1 << 16 | 1 << 22 | 1 << 3,
                bytes.fromhex('525400123456') +
                struct.pack('<HHH', 1, 8, 1500),
                {'mac': '52:54:00:12:34:56', 'status': '0x1',
                 'max_virtqueue_pairs': 8, 'mtu': 1500}),
        'console': (1 << 0 | 1 << 1, struct.pack('<HHII', 80, 25, 31, 0),
                    {'cols': 80, 'rows': 25, 'max_nr_ports': 31}),
        'balloon': (0, struct.pack('<II', 256, 128),
                    {'num_pages': 256, 'actual': 128}),
        'scsi': (0, struct.pack('<7I2HI', 4, 126, 65535, 128, 16, 96, 32, 0,
                                255, 16383),
                 {'num_queues': 4, 'seg_max': 126, 'max_sectors': 65535,
                  'cmd_per_lun': 128, 'event_info_size': 16, 'sense_size': 96,
                  'cdb_size': 32, 'max_channel': 0, 'max_target': 255,
                  'max_lun': 16383}),
        'gpu': (0, struct.pack('<4I', 0, 0, 1, 2),
                {'events_read': '0x0', 'num_scanouts': 1, 'num_capsets': 2}),
        'input': (0, bytes([1, 0, 9, 0, 0, 0, 0, 0]) + b'a mouse__',
                  {'select': 1, 'subsel': 0, 'size': 9}),
        'vsock': (0, struct.pack('<Q', 3), {'guest_cid': 3}),
        'crypto': (0, struct.pack('<12IQ', 1, 2, 3, 4, 0, 6, 7, 0, 9, 64, 512,
                                  0, 1 << 40),
                   {'status': '0x1', 'max_dataqueues': 2,
                    'crypto_services': '0x3', 'max_cipher_key_len': 64,
                    'max_auth_key_len': 512, 'max_size': 1 << 40}),
        'iommu': (1 << 1, struct.pack('<QQQIIIB3x', 0xfffff000, 0, 0, 1, 9, 7,
                                      1),
                  {'page_size_mask': '0xfffff000', 'domain_range_start': 1,
                   'domain_range_end': 9}),
        'snd': (0, struct.pack('<III', 1, 2, 3),
                {'jacks': 1, 'streams': 2, 'chmaps': 3}),
        'fs': (0, b'myfs'.ljust(36, b'\0') + struct.pack('<I', 4),
               {'tag': 'myfs', 'num_request_queues': 4}),
        'pmem': (0, struct.pack('<QQ', 1 << 32, 1 << 30),
                 {'start': '0x100000000', 'size': 1 << 30}),
        'gpio': (0, struct.pack('<HHI', 16, 0, 99),
                 {'ngpio': 16, 'gpio_names_size': 99}),
    }
    for name, (features, config, fields) in cases.items():
        report = ask(folder, f'--type={name}', config=config,
                     features=features | VERSION_1)
        expect(report['type'] == name, report)
        found = report['config']
        expect(found['size'] == len(config), f'{name}: {found}')
        expect(bytes.fromhex(found['bytes']) == config, f'{name}: {found}')
        for key, value in fields.items():
            expect(found['fields'].get(key) == value, f'{name}: {found}')
        # the full list, but where many are left out above
        if name not in ('crypto',):
            expect(set(found['fields']) == set(fields), f'{name}: {found}')


def test_cli_ctl_text_is_no_order(folder):
    tag = b'a\x1b[2J\x9b\xff\x7f\n~'
    report = ask(folder, '--type=fs', config=tag.ljust(40, b'\0'))
    expect(report['config']['fields']['tag'] ==
           r'a\x1b[2J\x9b\xff\x7f\x0a~', report)


def test_cli_ctl_without_config(folder):
    for name in ('rng', 'i2c'):
        report = ask(folder, f'--type={name}')
        expect('config' not in report and report['type'] == name, report)
        expect(report['queues'] == 3 and report['memory_slots'] == 32, report)
        expect(report['features'] == {'value': '0x100000000',
                                      'names': ['VERSION_1']}, report)


def test_cli_ctl_finds_the_size(folder):
    for size in (1, 2, 7, 8, 63, 64, 65, 200, 255, 256):
        config = bytes(i * 7 % 256 for i in range(size))
        for more in ([], ['--type=blk']):
            found = ask(folder, *more, config=config)['config']
            expect(found['size'] == size, f'{size}: {found}')
            expect(bytes.fromhex(found['bytes']) == config, f'{size}')


def test_cli_ctl_bad_backends(folder):
    path = os.path.join(folder, 'bad')
    for bad in ({'leaves': 1}, {'leaves': 15}, {'silent': 1}, {'silent': 17},
                {'queues': 0}, {'leaves': 24}, {'silent': 24}):
        with Backend(path, config=bytes(8), **bad):
            refused('probe', '--timeout=200', path, status=RUNTIME)
        os.unlink(path)


sys.exit(run_all(globals()))
