# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""An initramfs: a cpio archive (newc) of files, programs with the libraries
that they need, and kernel modules with the modules that they need. It isn't
compressed, since an emulated machine is slow to unpack it.
"""
import lzma
import os
import re
import stat
import subprocess
from pathlib import Path

ALIGNMENT = 4

class Archive:
    """A cpio archive in memory, which makes the folders that it lacks."""

    def __init__(self):
        self.parts = []
        self.paths = set()

    def _pad(self, size):
        self.parts.append(b'\0' * (-size % ALIGNMENT))

    def _add(self, path, mode, data):
        name = path.encode() + b'\0'
        # number, mode, owner and group, links, time, size, four numbers of
        # devices, size of the name, checksum
        fields = [len(self.paths), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                  len(name), 0]
        header = b'070701' + b''.join(b'%08x' % field for field in fields)
        self.parts += [header, name]
        self._pad(len(header) + len(name))
        self.parts.append(data)
        self._pad(len(data))
        self.paths.add(path)

    def folder(self, path):
        path = str(path).strip('/')
        if not path or path in self.paths:
            return
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFDIR | 0o755, b'')

    def file(self, path, data, mode=0o644):
        path = str(path).strip('/')
        if path in self.paths:
            return
        self.folder(os.path.dirname(path))
        self._add(path, stat.S_IFREG | mode, data)

    def program(self, path, source):
        """A program or script, and the libraries that it is linked to."""
        self.file(path, Path(source).read_bytes(), 0o755)
        for library, place in libraries(source):
            self.file(place, Path(library).read_bytes(), 0o755)

    def write(self, path):
        self._add('TRAILER!!!', 0, b'')
        Path(path).write_bytes(b''.join(self.parts))


def libraries(program):
    """The libraries of a program, and the places where its loader looks."""
    result = subprocess.run(['ldd', str(program)], text=True, check=False,
                            stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    if 'not found' in result.stdout:
        raise ValueError(f'{program} lacks a library:\n{result.stdout}')
    for name, file in re.findall(r'^\t(\S+) => (/\S+) \(', result.stdout,
                                 re.M):
        yield file, f'lib/{name}'
    for file in re.findall(r'^\t(/\S+) \(', result.stdout, re.M):
        yield file, file


class Modules:
    """A kernel's modules, as depmod(8) left them."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.needs = {}
        for line in (self.folder / 'modules.dep').read_text().splitlines():
            module, needs = line.split(':')
            self.needs[module] = needs.split()

    def find(self, name):
        pattern = name.replace('_', '[-_]')
        for module in self.needs:
            if re.search(rf'/{pattern}\.ko(\.xz)?$', module):
                return module
        raise ValueError(f'the kernel has no module {name}')

    def add_to(self, archive, names):
        """Puts the modules and their needs into the archive's /modules."""
        wanted = {}
        for name in names:
            module = self.find(name)
            for each in [module, *self.needs[module]]:
                wanted[each] = self.needs[each]
        lines = []
        for module, needs in wanted.items():
            data = (self.folder / module).read_bytes()
            if module.endswith('.xz'):
                data = lzma.decompress(data)
            archive.file(f'modules/{unpacked(module)}', data)
            lines.append(f'{unpacked(module)}: '
                         f'{" ".join(unpacked(need) for need in needs)}\n')
        archive.file('modules/modules.dep', ''.join(lines).encode())


def unpacked(module):
    return module.removesuffix('.xz')
