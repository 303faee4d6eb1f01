# SPDX-License-Identifier: GPL-2.0
"""The wires between a lab machine and the user while it runs."""

import os
import selectors
import time


class Wire:
    """A named pipe that the machine writes into; what comes out is kept and passed on."""

    def __init__(self, path, onward=None):
        os.mkfifo(path)
        # Open for writing too: opening and closing the machine's end is no end of file here.
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self.onward = onward
        self.received = bytearray()

    def fileno(self):
        return self.fd

    def take(self):
        """Passes on what has arrived; false if nothing had."""
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return False
        self.received += data
        if self.onward:
            self.onward.write(data)
            self.onward.flush()
        return True

    def lines(self):
        return self.received.decode(errors="replace").splitlines()


def relay(process, wires, inputs, seconds):
    """Moves data until the process ends; false if it had to be killed after so many seconds (0:
    never). `inputs` are other objects with fileno() and take()."""
    deadline = time.monotonic() + seconds if seconds else None
    exited = os.pidfd_open(process.pid)
    with selectors.DefaultSelector() as selector:
        selector.register(exited, selectors.EVENT_READ)
        for source in (*wires, *inputs):
            selector.register(source, selectors.EVENT_READ, source)
        ready = []
        while not any(key.fd == exited for key, _ in ready):
            ready = selector.select(max(0, deadline - time.monotonic()) if deadline else None)
            if not ready:
                process.kill()
                break
            for key, _ in ready:
                if key.data:
                    key.data.take()
    os.close(exited)
    process.wait()
    for wire in wires:
        while wire.take():
            pass
    return bool(ready)
