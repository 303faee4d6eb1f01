# SPDX-License-Identifier: GPL-2.0
"""The user's terminal as the lab's first serial port: what is typed goes in, what the lab's console
and the command print comes out, through a pseudo terminal that Bochs or QEMU has for its port."""

import contextlib
import os
import shutil
import sys
import termios
import tty

from host.errors import LabError

ESCAPE = b"\x1d"  # Ctrl-]


class Left(Exception):
    """The user pressed the escape key."""


class Terminal:
    def __init__(self):
        if not os.isatty(0) or not os.isatty(1):
            raise LabError("this needs a terminal on stdin and stdout")
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        self.columns, self.rows = shutil.get_terminal_size()
        self.received = bytearray()

    def fileno(self):
        return self.master

    def take(self):
        """Shows what the lab printed; false if it had printed nothing."""
        try:
            data = os.read(self.master, 65536)
        except BlockingIOError:
            return False
        self.received = (self.received + data)[-65536:]
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return True

    def lines(self):
        return self.received.decode(errors="replace").splitlines()

    def inputs(self):
        return [Keyboard(self.master)]

    @contextlib.contextmanager
    def raw(self):
        """Passes every key on in the with-block; restores the terminal whatever happens."""
        os.set_blocking(self.master, False)
        saved = termios.tcgetattr(0)
        try:
            tty.setraw(0)
            yield self
        finally:
            termios.tcsetattr(0, termios.TCSAFLUSH, saved)


class Keyboard:
    def __init__(self, onward):
        self.onward = onward

    def fileno(self):
        return 0

    def take(self):
        data = os.read(0, 1024)
        if not data or ESCAPE in data:
            raise Left
        with contextlib.suppress(
            BlockingIOError
        ):  # nobody reads there: a terminal would drop keys as well
            os.write(self.onward, data)
        return True
