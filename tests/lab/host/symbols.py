# SPDX-License-Identifier: GPL-2.0
"""Names addresses in the lab's kernel, which runs where it was linked (nokaslr), and in a run's
modules, so that a hang can be reported with the function that it hangs in."""

import bisect
import os
import re
import subprocess


class Symbols:
    def __init__(self, kallsyms):
        """`kallsyms`: the text of /proc/kallsyms when the snapshot was taken."""
        rows = (line.split() for line in kallsyms.splitlines())
        self.rows = [(int(row[0], 16), row[2]) for row in rows if len(row) >= 3 and row[1] in "tT"]
        self.sorted = False

    def add_module(self, path, text_address):
        """Adds the functions in the .text of a module's file, which was loaded at this address."""
        listed = subprocess.run(
            ["objdump", "-t", path], check=False, capture_output=True, text=True
        ).stdout
        self.rows += [
            (text_address + int(m[1], 16), f"{m[2]} [{os.path.basename(path)}]")
            for m in re.finditer(
                r"^([0-9a-f]+) .{6}F \.text\t[0-9a-f]+ (?:\.hidden )?(\S+)$", listed, re.M
            )
        ]
        self.sorted = False

    def name(self, address):
        """`symbol+offset`, or what else is known about the address."""
        if address < 1 << 47:
            return "user space or a guest"
        if not self.sorted:
            self.rows.sort()
            self.sorted = True
        i = bisect.bisect_right(self.rows, (address, "\x7f")) - 1
        if i < 0:
            return "the kernel"
        return f"{self.rows[i][1]}+{address - self.rows[i][0]:#x}"
