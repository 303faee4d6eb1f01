# SPDX-License-Identifier: GPL-2.0
"""Compiles bochs/count.c, which counts what the host executes (`lab run --count`)."""

import os
import subprocess

from host import store
from host.errors import LabError


def library():
    """A cache entry with count.so."""

    def build(directory):
        source = os.path.join(store.SOURCE, "bochs", "count.c")
        done = subprocess.run(
            ["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", f"{directory}/count.so", source],
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            raise LabError(f"cannot build the counter of instructions:\n{done.stdout.strip()}")

    return store.entry(
        "count", store.key(*store.source("bochs/count.c", "bochs/count.h")), build
    )
