# SPDX-License-Identifier: GPL-2.0
"""Writes an initramfs: a cpio archive in the "newc" format. Needs no root, not even for devices."""

import stat


class Archive:
    def __init__(self):
        self.parts = []
        self.names = set()

    def _entry(self, name, mode, data=b"", device=(0, 0)):
        encoded = name.encode() + b"\0"
        fields = [
            len(self.parts) + 1,
            mode,
            0,
            0,
            1,
            0,
            len(data),
            0,
            0,
            device[0],
            device[1],
            len(encoded),
            0,
        ]
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.parts.append(header + bytes(-len(header) % 4))
        self.parts.append(data + bytes(-len(data) % 4))

    def directory(self, path):
        """Adds a directory and those above it."""
        path = path.strip("/")
        if not path or path in self.names:
            return
        self.directory(path.rpartition("/")[0])
        self.names.add(path)
        self._entry(path, stat.S_IFDIR | 0o755)

    def file(self, path, data, executable=False):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self.names.add(path)
        self._entry(path, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def symlink(self, path, target):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self.names.add(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def device(self, path, major, minor):
        path = path.strip("/")
        self.directory(path.rpartition("/")[0])
        self._entry(path, stat.S_IFCHR | 0o600, device=(major, minor))

    def data(self):
        end = Archive()
        end._entry("TRAILER!!!", 0)
        return b"".join(self.parts + end.parts)
