# SPDX-License-Identifier: GPL-2.0
"""The lab's debug kernel: Debian's source, small, and with every check of its own that finds what a
test can't see (kernel/config). It is built when it is first asked for."""

import glob
import os
import subprocess
import sys

from host import store
from host.errors import LabError

NAME = "debug"  # instead of a version
SOURCES = "/usr/src/linux-source-*.tar.xz"


def directory():
    """A cache entry with vmlinuz, lib/modules and headers."""
    sources = sorted(glob.glob(SOURCES))
    if not sources:
        raise LabError(f"the debug kernel needs {SOURCES}: `make check-debug` installs it")
    package = os.path.basename(sources[-1]).removesuffix(".tar.xz")
    version = subprocess.run(
        ["dpkg-query", "-W", package], check=False, capture_output=True, text=True
    ).stdout
    name = store.key(version, *store.source("kernel/config", "kernel/build"))
    with store.entry("kernel", name, lambda place: build(sources[-1], place)) as place:
        return place


def build(source, place):
    print("lab: building the debug kernel: this takes long, once", file=sys.stderr, flush=True)
    done = subprocess.run(
        [os.path.join(store.SOURCE, "kernel/build"), source, place],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()
        raise LabError("cannot build the debug kernel:\n" + "\n".join(said[-15:]))
