# SPDX-License-Identifier: GPL-2.0
"""The lab on this machine itself (LAB=host): the same files in a directory, the same modules, and
the same judgement of the kernel's log, but no other machine around them."""

import os
import shutil
import subprocess

from host import errors, kernel
from host.errors import LabError
from host.job import Outcome

NAME = "this machine"


def check():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        if " vmx" not in f.read():
            raise LabError(
                "LAB=host needs VT-x, which this machine doesn't have; LAB=bochs emulates it"
            )
    if os.geteuid() != 0:
        raise LabError("LAB=host inserts modules into this machine's kernel: it needs root")


def run(machine, job, directory):
    """Returns the outcome; there is no console but this machine's own."""
    if machine.kernel.version != os.uname().release:
        raise LabError(
            f"LAB=host runs kernel {os.uname().release}, but {machine.kernel.version} was asked for"
        )
    for source, destination in job.files:
        place(directory, source, destination)
    outcome = Outcome()
    inserted = []
    with open("/dev/kmsg", "rb", buffering=0) as log:
        os.set_blocking(log.fileno(), False)
        os.lseek(log.fileno(), 0, os.SEEK_END)
        try:
            for spec in machine.modules + job.modules:
                insert(spec, machine.kernel, inserted)
            run_command(job, directory, outcome)
        finally:
            for name in reversed(inserted):
                subprocess.run(["rmmod", name], check=False)
        outcome.log = messages(log)
    return outcome


def place(directory, source, destination):
    target = os.path.normpath(os.path.join(directory, destination))
    if not target.startswith(directory + os.sep):
        raise LabError(
            f"LAB=host doesn't place files outside of the run's directory: {destination}"
        )
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.isdir(source):
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def insert(spec, chosen, inserted):
    """Inserts a module and those that it depends on, unless they are there; notes which."""
    name, *parameters = spec.split(",")
    files = [name] if name.endswith(".ko") else kernel.module_files(chosen, name)
    for path in files:
        if os.path.exists(f"/sys/module/{kernel.module_name(path)}"):
            if path == files[-1] and parameters:
                raise LabError(
                    f"{name} is loaded already, so that it can't have {' '.join(parameters)}"
                )
            continue
        done = subprocess.run(
            ["insmod", path, *(parameters if path == files[-1] else [])],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"cannot insert {path}: {done.stderr.strip()}")
        inserted.append(kernel.module_name(path))


def run_command(job, directory, outcome):
    environment = dict(os.environ, PATH=f"{directory}:{os.environ['PATH']}")
    try:
        stdin = None if job.terminal else subprocess.DEVNULL
        done = subprocess.run(
            job.command,
            cwd=directory,
            env=environment,
            stdin=stdin,
            check=False,
            timeout=job.seconds or None,
        )
        outcome.status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    except FileNotFoundError:
        outcome.status = 127
        outcome.problem, outcome.code = f"there is no program {job.command[0]}", 127
    except subprocess.TimeoutExpired:
        outcome.problem, outcome.code = f"the command was killed after {job.seconds} s", errors.HUNG


def messages(log):
    """The kernel's messages since the file was opened."""
    lines = []
    while True:
        try:
            record = os.read(log.fileno(), 8192)
        except BlockingIOError:
            return lines
        except BrokenPipeError:  # messages were overwritten before they were read
            continue
        lines.append(record.decode(errors="replace").partition(";")[2].splitlines()[0])
