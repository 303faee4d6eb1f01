# SPDX-License-Identifier: GPL-2.0
"""The two archives that a lab machine gets: its own initramfs, which goes into the snapshot, and
each run's files."""

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


def base_key(machine):
    """All that base_initramfs() depends on."""
    return store.key(
        machine.kernel.version,
        *machine.modules,
        ("file", BUSYBOX),
        *(("file", path) for path, _ in kernel_modules(machine)),
        *store.source(
            "guest/init", "guest/minilab.c", "guest/Kbuild", "host/cpio.py", "host/image.py"
        ),
    )


def kernel_modules(machine):
    """The files to insert for the machine's modules (NAME[,parameter=value]…), in order, each with
    its parameters."""
    files = {}
    for spec in machine.modules:
        name, *parameters = spec.split(",")
        for path in kernel.module_files(machine.kernel, name):
            files.setdefault(path, [])
        files[path] = parameters
    return files.items()


def busybox_root():
    archive = Archive()
    for directory in ("proc", "sys", "dev", "tmp", "bin"):
        archive.directory(directory)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", read(BUSYBOX), executable=True)
    return archive


def base_initramfs(machine):
    """Busybox, the lab's init and modules: what is running when the snapshot is taken."""
    archive = busybox_root()
    archive.directory(LAB)
    archive.file("init", read(os.path.join(store.SOURCE, "guest/init")), executable=True)
    with tools.lab_module(machine.kernel) as directory:
        archive.file("modules/minilab.ko", read(f"{directory}/minilab"))
    inserts = ["insmod /modules/minilab.ko"]
    for path, parameters in kernel_modules(machine):
        inside = f"/modules/{kernel.module_name(path)}.ko"
        archive.file(inside, kernel.stripped_module(path, symbols=False))
        inserts.append(shlex.join(["insmod", inside, *parameters]))
    archive.file("modules/insert", " &&\n".join(inserts).encode() + b"\n")
    return archive.data()


def libraries(path):
    """The shared libraries and the loader that a program needs; none for what isn't dynamic."""
    listed = subprocess.run(["ldd", path], check=False, capture_output=True, text=True)
    if listed.returncode:
        return []
    if "not found" in listed.stdout:
        raise LabError(f"{path} needs a library that this machine doesn't have:\n{listed.stdout}")
    words = (line.split() for line in listed.stdout.splitlines())
    return [
        next(w for w in line if w.startswith("/"))
        for line in words
        if any(w.startswith("/") for w in line)
    ]


def add(archive, source, destination):
    """Adds a file or a directory; programs bring their shared libraries with them."""
    if os.path.isdir(source):
        for name in sorted(os.listdir(source)):
            add(archive, f"{source}/{name}", f"{destination}/{name}")
        return
    data = read(source)
    archive.file(destination, data, executable=os.access(source, os.X_OK))
    if data.startswith(b"\x7fELF") and not source.endswith((".ko", ".o")):
        for library in libraries(source):
            if library.strip("/") not in archive.names:
                archive.file(library, read(library), executable=True)


def guest_initramfs(files):
    """An initramfs for a guest: busybox and these files, one of them /init."""
    archive = busybox_root()
    for source, destination in files:
        add(archive, source, destination)
    if "init" not in archive.names:
        raise LabError("an initramfs needs an /init: --file SRC:init")
    return archive.data()


class Payload:
    """One run's files: those asked for, libraries they need, modules, and the session script."""

    def __init__(self, job):
        self.archive = Archive()
        self.archive.file(f"{LAB}/.session", read(os.path.join(store.SOURCE, "guest/session")))
        for source, destination in job.files:
            add(self.archive, source, os.path.join(LAB, destination))
        inserts = [self.insert_command(spec) for spec in job.modules]
        self.archive.file(f"{LAB}/.settings", settings(job, inserts).encode())

    def insert_command(self, spec):
        """A shell command that inserts a module given as PATH.ko[,parameter=value]…"""
        path, *parameters = spec.split(",")
        inside = f"{LAB}/{os.path.basename(path)}"
        self.archive.file(inside, kernel.stripped_module(path))
        return shlex.join(["insmod", inside, *parameters])

    def data(self):
        return self.archive.data()


def settings(job, inserts):
    """The shell variables and functions that guest/session reads."""
    variables = {
        "NOW": int(time.time()),
        "LOGLEVEL": job.loglevel,
        "HEARTBEAT": job.heartbeat,
        "MODULES": " ".join(map(kernel.module_name, job.modules)),
        "TERMINAL": int(job.terminal),
        "ROWS": job.rows,
        "COLUMNS": job.columns,
    }
    lines = [f"{name}={shlex.quote(str(value))}" for name, value in variables.items()]
    lines.append("insert_modules() {\n\t" + " && ".join(inserts or ["true"]) + "\n}")
    lines.append("command() {\n\t" + shlex.join(job.command) + "\n}")
    return "\n".join(lines) + "\n"
