# SPDX-License-Identifier: GPL-2.0
"""Names addresses in the lab's kernel, which runs where it was linked (nokaslr)."""

import bisect


class Symbols:
    def __init__(self, version):
        self.addresses, self.names = [], []
        try:
            with open(f"/boot/System.map-{version}", encoding="ascii") as f:
                rows = sorted((int(address, 16), name) for address, kind, name in map(str.split, f)
                              if kind in "tT")
        except OSError:     # readable by root only
            return
        self.addresses, self.names = [row[0] for row in rows], [row[1] for row in rows]

    def name(self, address):
        """`<symbol+offset>`, or what else is known about the address."""
        if address < 1 << 47:
            return "<user space>"
        if 0xffffffffc0000000 <= address < 0xffffffffff000000:
            return "<a module>"
        i = bisect.bisect_right(self.addresses, address) - 1
        if i < 0 or i == len(self.names) - 1:
            return "<kernel>"
        return f"<{self.names[i]}+{address - self.addresses[i]:#x}>"
