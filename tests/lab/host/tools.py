# SPDX-License-Identifier: GPL-2.0
"""Compiles the lab's own pieces: the kernel module inside, Bochs's loader and debugger hook."""

import os
import shutil
import subprocess

from host import kernel, store
from host.errors import LabError


def _run(what, command, cwd):
    done = subprocess.run(
        command, cwd=cwd, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        raise LabError(f"cannot build {what}:\n{done.stdout.decode(errors='replace').strip()}")


def bochs_tools():
    """A cache entry with stub.bin and hook.so."""

    def build(directory):
        source = os.path.join(store.SOURCE, "bochs")
        _run("the boot loader", ["as", "--64", f"{source}/stub.S", "-o", "stub.o"], directory)
        _run(
            "the boot loader",
            [
                "ld",
                "-m",
                "elf_x86_64",
                "--oformat",
                "binary",
                "-Ttext",
                "0",
                "-e",
                "_start",
                "stub.o",
                "-o",
                "stub.bin",
            ],
            directory,
        )
        _run(
            "the debugger hook",
            ["gcc", "-O2", "-shared", "-fPIC", "-o", "hook.so", f"{source}/hook.c", "-ldl"],
            directory,
        )

    return store.entry("bochs", store.key(*store.source("bochs/stub.S", "bochs/hook.c")), build)


def lab_module(chosen):
    """A cache entry with minilab.ko for a kernel, stripped."""

    def build(directory):
        if not os.path.exists(chosen.headers):
            raise LabError(
                f"the lab's module cannot be built for kernel {chosen.version}: "
                f"install linux-headers-{chosen.version}"
            )
        for name in ("minilab.c", "Kbuild"):
            shutil.copy(os.path.join(store.SOURCE, "guest", name), directory)
        _run(
            "minilab.ko",
            ["make", "-s", "-C", chosen.headers, f"M={directory}", "modules"],
            directory,
        )
        data = kernel.stripped_module(f"{directory}/minilab.ko")
        with open(f"{directory}/minilab.ko", "wb") as f:
            f.write(data)

    name = store.key(chosen.version, *store.source("guest/minilab.c", "guest/Kbuild"))
    return store.entry("module", name, build)
