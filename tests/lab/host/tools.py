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
    """A cache entry with minilab.ko for a kernel, stripped. It is called `minilab` there: Kbuild's
    clean removes every *.ko below the checkout."""

    def build(directory):
        if not os.path.exists(chosen.headers):
            raise LabError(
                f"the lab's module cannot be built for kernel {chosen.version}: "
                f"install linux-headers-{chosen.version}"
            )
        tree = f"{directory}/build"
        os.mkdir(tree)
        for name in ("minilab.c", "Kbuild"):
            shutil.copy(os.path.join(store.SOURCE, "guest", name), tree)
        _run("minilab.ko", ["make", "-s", "-C", chosen.headers, f"M={tree}", "modules"], tree)
        data = kernel.stripped_module(f"{tree}/minilab.ko")
        with open(f"{directory}/minilab", "wb") as f:
            f.write(data)
        shutil.rmtree(tree)

    sources = store.source("guest/minilab.c", "guest/Kbuild", "host/tools.py")
    return store.entry("module", store.key(("file", chosen.image), *sources), build)
