# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""usage: vhost_blk.py PROGRAM: tests the command line of vhost-blk.

Each case prints a line in cmocka's form; exit status 1 if one failed.
"""
import ctypes
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

from cases import run_all

PROGRAM = os.path.abspath(sys.argv[1])
PATIENCE = 60  # seconds; nothing here takes that long
OK, RUNTIME, USAGE = 0, 1, 2
F_SETPIPE_SZ = 1031


def call(*args, **more):
    """Runs the program to its end."""
    return subprocess.run([PROGRAM, *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False,
                          timeout=PATIENCE, **more)


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def refused(*args, words=(), status=USAGE, **more):
    """The program says in one line what is wrong with args."""
    result = call(*args, **more)
    shown = f'{args}: {result.returncode} {result.stderr!r}'
    expect(result.returncode == status, shown)
    expect(result.stdout == '', f'{args}: stdout {result.stdout!r}')
    lines = result.stderr.splitlines()
    expect(len(lines) == 1, shown)
    expect(lines[0].startswith('vhost-blk: '), shown)
    for word in words:
        expect(word in lines[0], f'{shown}: no {word!r}')


def until(condition, text):
    """Waits for a state that nothing announces."""
    end = time.monotonic() + PATIENCE
    while not condition():
        expect(time.monotonic() < end, f'not within {PATIENCE} s: {text}')
        time.sleep(0.01)


def listens(path):
    """True if somebody accepts connections on path."""
    with socket.socket(socket.AF_UNIX) as s:
        try:
            s.connect(path)
        except OSError:
            return False
    return True


class Daemon:
    """A vhost-blk that runs."""

    def __init__(self, *args, **more):
        self.process = subprocess.Popen(
            [PROGRAM, *args], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            bufsize=0,  # line() must not take more than it gives
            **more)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self, stream):
        """The next line of its output."""
        ready = select.select([stream], [], [], PATIENCE)[0]
        expect(ready, f'no line within {PATIENCE} s')
        return stream.readline().decode()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out.decode(), err.decode()


class Place:
    """A folder with an image in it."""

    def __init__(self, folder):
        self.folder = folder
        self.image = self.path('disk')
        self.socket = self.path('socket')
        with open(self.image, 'wb') as f:
            f.truncate(1 << 20)

    def path(self, name):
        return os.path.join(self.folder, name)

    def serving(self, *args, **more):
        """A daemon that listens."""
        daemon = Daemon('--socket-path', self.socket, *args, **more)
        try:
            until(lambda: daemon.process.poll() is not None
                  or listens(self.socket), 'it listens')
            expect(daemon.process.poll() is None, 'it ended')
        except BaseException:
            with daemon:
                raise
        return daemon


def test_cli_help_goes_to_stdout(_):
    result = call('--help')
    expect(result.returncode == OK and result.stderr == '', result.stderr)
    expect(result.stdout.startswith('usage: vhost-blk '), result.stdout)


def test_cli_version_is_one_line(_):
    result = call('--version')
    expect(result.returncode == OK, result.stderr)
    name, version = result.stdout.split()
    expect(name == 'vhost-blk', name)
    expect(len([int(n) for n in version.split('.')]) == 3, version)


def test_cli_capabilities_are_json(_):
    wanted = {'type': 'block', 'features': ['read-only', 'blk-file']}
    for args in (['--print-capabilities'],
                 ['--nonsense', '--fd=x', '--print-capabilities', 'x']):
        result = call(*args)
        expect(result.returncode == OK, result.stderr)
        expect(json.loads(result.stdout) == wanted, result.stdout)
        expect(result.stderr == '', result.stderr)


def test_cli_help_names_every_option(_):
    text = call('--help').stdout
    for option in ('socket-path', 'fd', 'connect', 'blk-file', 'null',
                   'read-only', 'direct', 'num-queues', 'workers', 'serial',
                   'io-engine', 'stats-json', 'verbose', 'quiet',
                   'print-capabilities', 'help', 'version'):
        expect(f'--{option}' in text, option)


def test_cli_needs_where_and_what(place):
    refused(words=['--socket-path', '--fd', '--connect'])
    refused('--null=1M', words=['--socket-path'])
    refused(f'--socket-path={place.socket}', words=['--blk-file', '--null'])
    refused(f'--socket-path={place.socket}', '--null=1M',
            f'--blk-file={place.image}', words=['--blk-file', '--null'])
    refused(f'--socket-path={place.socket}', '--fd=0', '--null=1M',
            words=['--fd', '--socket-path'])
    refused(f'--connect={place.socket}', f'--socket-path={place.socket}',
            '--null=1M', words=['--connect', '--socket-path'])
    expect(not os.path.exists(place.socket), 'it made a socket')


def test_cli_refuses_unknown_words(place):
    good = [f'--socket-path={place.socket}', '--null=1M']
    refused(*good, 'surplus', words=['surplus'])
    refused('surplus', *good, words=['surplus'])
    refused(*good, '--nonsense', words=['--nonsense'])
    refused(*good, '--nonsense=3', words=['--nonsense=3'])
    refused(*good, '-x', words=['-x'])
    refused(*good, '-vx', words=['-x'])
    for flag in ('--read-only=yes', '--quiet=3', '--verbose=', '--help=x'):
        refused(*good, flag, words=[flag, 'takes no value'])
    refused(*good, '--serial', words=['--serial', 'value'])


def test_cli_refuses_bad_numbers(place):
    good = [f'--socket-path={place.socket}', '--null=1M']
    for option, most in (('num-queues', 256), ('workers', 64)):
        for value in ('', '0', '-1', '+1', ' 1', '1x', 'x', '1.5', '0x10',
                      str(most + 1), '4294967297', '18446744073709551617'):
            refused(*good, f'--{option}={value}',
                    words=[f'--{option}={value}', str(most)])
    refused(*good, '--num-queues=2', '--workers=3',
            words=['--workers=3', '2', '--num-queues'])


def test_cli_refuses_bad_sizes(place):
    for value in ('', '0', '511', '513', '-512', 'K', '1KB', '1 K', '1P',
                  '16777216T', '8388608T', '18446744073709551616'):
        refused(f'--socket-path={place.socket}', f'--null={value}',
                words=[f'--null={value}', '512', '8388608T'])


def test_cli_refuses_bad_descriptors(_):
    refused('--fd=x', '--null=1M', words=['--fd=x'])
    refused('--fd=-1', '--null=1M', words=['--fd=-1'])
    refused('--fd=99', '--null=1M', words=['--fd=99'])
    refused('--fd=4294967296', '--null=1M', words=['--fd=4294967296'])
    refused('--fd=0', '--null=1M', words=['--fd'])
    with socket.socket(socket.AF_INET) as s:
        refused(f'--fd={s.fileno()}', '--null=1M', words=['--fd'],
                pass_fds=[s.fileno()])


def test_cli_refuses_bad_words(place):
    good = [f'--socket-path={place.socket}', '--null=1M']
    refused(*good, '--io-engine=aio', words=['--io-engine=aio', 'io_uring'])
    refused(*good, '--io-engine=', words=['--io-engine='])
    refused(*good, '--serial=' + 21 * 's', words=['--serial', '21', '20'])
    refused(*good, '--direct', words=['--direct', '--blk-file'])


def test_cli_refuses_bad_files(place):
    where = f'--socket-path={place.socket}'
    missing = place.path('missing')
    empty = place.path('empty')
    short = place.path('short')
    fifo = place.path('fifo')
    open(empty, 'wb').close()
    with open(short, 'wb') as f:
        f.truncate(511)
    os.mkfifo(fifo)
    refused(where, f'--blk-file={missing}', words=['--blk-file', missing])
    refused(where, '--blk-file=', words=['--blk-file'])
    for path, word in ((place.folder, 'directory'), (empty, '512'),
                       (short, '511'), (fifo, 'regular file'),
                       ('/dev/null', 'regular file')):
        for more in ([], ['--read-only']):
            refused(where, f'--blk-file={path}', *more,
                    words=['--blk-file', path, word])
    refused(where, '--blk-file=/' + 5000 * 'n', words=['--blk-file'])
    expect(not os.path.exists(place.socket), 'it made a socket')


def test_cli_refuses_a_file_without_permission(place):
    # an ordinary user, and a copy of the program where that user may go
    program = place.path('program')
    shutil.copy(PROGRAM, program)
    os.chmod(place.folder, 0o755)
    user = {'executable': program}
    if os.geteuid() == 0:
        user.update(user=65534, group=65534, extra_groups=[])
    where = f'--socket-path={place.socket}'
    os.chmod(place.image, 0o444)
    refused(where, f'--blk-file={place.image}',
            words=[place.image, 'denied'], **user)
    os.chmod(place.image, 0)
    refused(where, f'--blk-file={place.image}', '--read-only',
            words=[place.image, 'denied'], **user)


def test_cli_refuses_bad_socket_paths(place):
    long = place.path(200 * 's')
    refused(f'--socket-path={long}', '--null=1M',
            words=['--socket-path', '107'])
    refused(f'--connect={long}', '--null=1M', words=['--connect', '107'])
    refused('--socket-path=', '--null=1M', words=['--socket-path'])
    refused('--socket-path=' + place.path('no/such/folder'), '--null=1M',
            words=['--socket-path'])
    refused(f'--socket-path={place.image}', '--null=1M',
            words=['--socket-path', place.image])
    expect(os.path.getsize(place.image) == 1 << 20, 'the file was replaced')


def test_cli_leaves_a_live_socket_alone(place):
    with place.serving('--null=1M') as first:
        before = os.stat(place.socket)
        refused(f'--socket-path={place.socket}', '--null=1M',
                words=['--socket-path', place.socket])
        after = os.stat(place.socket)
        expect(before.st_ino == after.st_ino, 'the socket was replaced')
        expect(listens(place.socket), 'the first one is deaf now')
        status, _, err = first.end()
        expect(status == OK, err)


def test_cli_leaves_a_socket_of_others_alone(place):
    # an ordinary user, and a socket that only somebody else may connect to
    program = place.path('program')
    shutil.copy(PROGRAM, program)
    os.chmod(place.folder, 0o777)
    user = {'executable': program}
    if os.geteuid() == 0:
        user.update(user=65534, group=65534, extra_groups=[])
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(place.socket)
        os.chmod(place.socket, 0)
        refused(f'--socket-path={place.socket}', '--null=1M',
                words=['--socket-path', place.socket, 'denied'], **user)
    expect(os.path.exists(place.socket), 'it was removed')


def test_cli_replaces_a_stale_socket(place):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(place.socket)
    with place.serving('--null=1M') as daemon:
        status, _, err = daemon.end()
        expect(status == OK, err)
    expect(not os.path.exists(place.socket), 'it left its socket')


def test_cli_ends_on_signals(place):
    for number in (signal.SIGTERM, signal.SIGINT):
        with place.serving('--blk-file', place.image) as daemon, \
                socket.socket(socket.AF_UNIX) as client:
            client.connect(place.socket)
            began = time.monotonic()
            status, _, err = daemon.end(number)
            expect(status == OK, f'{status} {err}')
            # it is milliseconds; the limit is for a busy machine
            expect(time.monotonic() - began < 10, 'it took its time')


def test_cli_takes_a_listening_socket(place):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(place.socket)
        s.listen()
        with Daemon(f'--fd={s.fileno()}', '--null=1M',
                    pass_fds=[s.fileno()]) as daemon:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(place.socket)
                expect(get_features(client), 'no features')
            status, _, err = daemon.end()
            expect(status == OK, err)


def get_features(client):
    """Asks by hand: request 1, version 1, no payload."""
    client.sendall(b'\x01\0\0\0\x01\0\0\0\0\0\0\0')
    reply = b''
    while len(reply) < 20:
        more = client.recv(20 - len(reply))
        expect(more, 'the server hung up')
        reply += more
    expect(reply[:12] == b'\x01\0\0\0\x05\0\0\0\x08\0\0\0', repr(reply))
    return int.from_bytes(reply[12:], 'little')


def test_cli_ends_when_a_connected_peer_leaves(_):
    ours, its = socket.socketpair(socket.AF_UNIX)
    with ours, Daemon(f'--fd={its.fileno()}', '--null=1M',
                      pass_fds=[its.fileno()]) as daemon:
        its.close()
        ours.settimeout(PATIENCE)
        expect(get_features(ours), 'no features')
        ours.close()
        _, err = daemon.process.communicate(timeout=PATIENCE)
        expect(daemon.process.returncode == OK, err)


def test_cli_says_what_it_cannot_connect_to(place):
    with Daemon(f'--connect={place.socket}', '--null=1M') as daemon:
        def says(words):
            line = daemon.line(daemon.process.stderr)
            return place.socket in line and words in line
        until(lambda: says('No such file'), 'it says that nothing is there')
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(place.socket)
            until(lambda: says('refused'), 'it says that nobody listens')
        status, _, err = daemon.end()
        expect(status == OK and place.socket not in err, err)


def test_cli_connects_again_and_again(place):
    with Daemon(f'--connect={place.socket}', '--null=1M') as daemon, \
            socket.socket(socket.AF_UNIX) as server:
        server.bind(place.socket)
        server.listen()
        server.settimeout(PATIENCE)
        for _ in range(2):
            with server.accept()[0] as client:
                client.settimeout(PATIENCE)
                expect(get_features(client), 'no features')
        status, _, err = daemon.end()
        expect(status == OK, err)


def features_of(place, *args):
    with place.serving(*args) as daemon, \
            socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(place.socket)
        features = get_features(client)
        status, _, err = daemon.end()
        expect(status == OK, err)
        return features


def test_cli_options_change_the_features(place):
    file = f'--blk-file={place.image}'
    seg_max, ro, blk_size, flush, topology, wce, mq, discard, zeroes = (
        1 << bit for bit in (2, 5, 6, 9, 10, 11, 12, 13, 14))
    always = seg_max | blk_size | flush | topology | wce
    mask = (1 << 24) - 1
    plain = features_of(place, file) & mask
    expect(plain & ~discard == always | zeroes, hex(plain))
    read_only = features_of(place, file, '--read-only') & mask
    expect(read_only == always | ro, hex(read_only))
    queues = features_of(place, file, '--num-queues=2', '--workers=2') & mask
    expect(queues == plain | mq, hex(queues))


def check_statistics(text):
    values = json.loads(text)
    expect(set(values) == {
        'connections', 'connected', 'features', 'protocol_features',
        'engine', 'requests', 'bytes', 'errors', 'kicks', 'calls'}, text)
    expect(set(values['requests']) == {
        'in', 'out', 'flush', 'get_id', 'discard', 'write_zeroes'}, text)
    expect(set(values['bytes']) == {'read', 'written'}, text)
    expect(values['engine'] == 'null', text)
    int(values['features'], 16)
    return values


def test_cli_statistics_as_json(place):
    with place.serving('--null=1M', '--stats-json') as daemon, \
            socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(place.socket)
        get_features(client)
        daemon.process.send_signal(signal.SIGUSR1)
        values = check_statistics(daemon.line(daemon.process.stdout))
        expect(values['connected'] is True, values)
        expect(values['connections'] >= 1, values)
        status, out, err = daemon.end()
        expect(status == OK, err)
        expect(len(out.splitlines()) == 1, out)
        check_statistics(out)


def test_cli_statistics_for_people(place):
    with place.serving('--null=1M', '--quiet') as daemon:
        daemon.process.send_signal(signal.SIGUSR1)
        expect('statistics' in daemon.line(daemon.process.stderr), 'words')
        status, out, err = daemon.end()
        expect(status == OK and out == '', f'{status} {out}')
        expect('null' in err, err)


def test_cli_waits_for_no_reader(place):
    with place.serving('--null=1M', '--verbose') as daemon, \
            socket.socket(socket.AF_UNIX) as client:
        stderr = daemon.process.stderr.fileno()
        fcntl.fcntl(stderr, F_SETPIPE_SZ, 4096)
        client.settimeout(PATIENCE)
        client.connect(place.socket)
        for _ in range(200):
            expect(get_features(client), 'no features')
        expect(len(os.read(stderr, 1 << 20)) < 5000, 'more than there is')
        expect(get_features(client), 'no features')
        until(lambda: 'were lost' in daemon.line(daemon.process.stderr),
              'it owns up to the lost lines')
        for _ in range(200):
            expect(get_features(client), 'no features')
        daemon.process.send_signal(signal.SIGUSR1)
        expect(get_features(client), 'no features')
        daemon.process.send_signal(signal.SIGTERM)
        expect(daemon.process.wait(PATIENCE) == OK, 'status')


def lives_in_memory(path):
    kind = subprocess.run(['stat', '-f', '-c', '%T', path], check=True,
                          capture_output=True, text=True).stdout.strip()
    return kind in ('tmpfs', 'ramfs', 'hugetlbfs')


def system_has_uring():
    """Asks the kernel: 120 zeroes are a struct io_uring_params."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(425, 1, ctypes.create_string_buffer(120))
    if fd >= 0:
        os.close(fd)
    return fd >= 0


def test_cli_says_which_engine(place):
    auto = 'blk: io_uring'
    if lives_in_memory(place.folder):
        auto = 'blk: system calls, since the file lives in memory'
    elif not system_has_uring():
        auto = 'blk: system calls, since the system refuses io_uring'
    for engine, words in (('sync', 'asked for'), ('auto', auto)):
        with place.serving('--blk-file', place.image, '--stats-json',
                           f'--io-engine={engine}') as daemon:
            status, out, err = daemon.end()
            expect(status == OK and words in err, err)
            used = 'io_uring' if words == 'blk: io_uring' else 'sync'
            expect(json.loads(out)['engine'] == used, out)


def test_cli_looks_at_the_size_again(place):
    with place.serving('--blk-file', place.image) as daemon:
        with open(place.image, 'r+b') as f:
            f.truncate(2 << 20)
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: '4096 sectors' in daemon.line(daemon.process.stderr),
              'it says the new size')
        status, _, err = daemon.end()
        expect(status == OK, err)


sys.exit(run_all(globals(), Place))
