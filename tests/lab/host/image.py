# SPDX-License-Identifier: GPL-2.0
"""The two archives that a lab machine gets: its own initramfs, which goes into the snapshot, and each
run's files."""

import os
import shlex
import subprocess
import time

from host import kernel, store, tools
from host.cpio import Archive
from host.errors import LabError

BUSYBOX = "/bin/busybox"
LAB = "/lab"


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as error:
        raise LabError(f"cannot read {path}: {error.strerror}") from error


def base_key(chosen):
    return store.key(chosen.version, ("file", BUSYBOX),
                     *store.source("guest/init", "guest/minilab.c", "guest/Kbuild", "host/cpio.py"))


def base_initramfs(chosen):
    """Busybox, the lab's init and module: what is running when the snapshot is taken."""
    archive = Archive()
    for directory in ("proc", "sys", "dev", "tmp", "bin", "lab"):
        archive.directory(directory)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", read(BUSYBOX), executable=True)
    archive.file("init", read(os.path.join(store.SOURCE, "guest/init")), executable=True)
    with tools.lab_module(chosen) as directory:
        archive.file("minilab.ko", read(f"{directory}/minilab.ko"))
    return archive.data()


def libraries(path):
    """The shared libraries and the loader that a program needs; none for what isn't dynamic."""
    listed = subprocess.run(["ldd", path], check=False, capture_output=True, text=True)
    if listed.returncode:
        return []
    if "not found" in listed.stdout:
        raise LabError(f"{path} needs a library that this machine doesn't have:\n{listed.stdout}")
    words = (line.split() for line in listed.stdout.splitlines())
    return [next(w for w in line if w.startswith("/")) for line in words if any(w.startswith("/") for w in line)]


class Payload:
    """One run's files: those asked for, the libraries they need, modules, and the session script."""

    def __init__(self, machine, job, backend_settings=()):
        self.archive = Archive()
        self.archive.file(f"{LAB}/.session", read(os.path.join(store.SOURCE, "guest/session")))
        for source, destination in job.files:
            self.add(source, destination)
        inserts = [self.insert_command(machine, spec) for spec in job.modules]
        self.archive.file(f"{LAB}/.settings", settings(job, inserts, backend_settings).encode())

    def add(self, source, destination):
        if os.path.isdir(source):
            for name in sorted(os.listdir(source)):
                self.add(f"{source}/{name}", f"{destination}/{name}")
            return
        data = read(source)
        self.archive.file(os.path.join(LAB, destination), data, executable=os.access(source, os.X_OK))
        if data.startswith(b"\x7fELF") and not source.endswith((".ko", ".o")):
            for library in libraries(source):
                if library.strip("/") not in self.archive.names:
                    self.archive.file(library, read(library), executable=True)

    def insert_command(self, machine, spec):
        """Shell commands that insert a module given as NAME[,parameter=value]… or PATH.ko[,…]."""
        name, *parameters = spec.split(",")
        files = [name] if name.endswith(".ko") else kernel.module_files(machine.kernel.version, name)
        commands = []
        for path in files:
            inside = f"{LAB}/.modules/{kernel.module_name(path)}.ko"
            if inside.strip("/") in self.archive.names:
                continue
            self.archive.file(inside, kernel.stripped_module(path))
            arguments = parameters if path == files[-1] else []
            commands.append(shlex.join(["insmod", inside, *arguments]))
        return " && ".join(commands) or "true"

    def data(self):
        return self.archive.data()


def settings(job, inserts, more):
    """The shell variables and functions that guest/session reads."""
    variables = {"NOW": int(time.time()), "LOGLEVEL": job.loglevel, "HEARTBEAT": job.heartbeat,
                 "TERMINAL": int(job.terminal), "ROWS": job.rows, "COLUMNS": job.columns, **dict(more)}
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    lines.append("insert_modules() {\n\t" + " && ".join(inserts or ["true"]) + "\n}")
    lines.append("command() {\n\t" + shlex.join(job.command) + "\n}")
    return "\n".join(lines) + "\n"
