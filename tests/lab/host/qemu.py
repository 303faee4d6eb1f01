# SPDX-License-Identifier: GPL-2.0
"""The lab on QEMU with KVM, where that offers VT-x to its guests. There are no snapshots: it boots
in a second or two."""

import os
import subprocess

from host import errors, image
from host.errors import LabError
from host.snapshot import write

NAME = "QEMU"
PROGRAM = "/usr/bin/qemu-system-x86_64"
ACCELERATOR = os.environ.get(
    "LAB_QEMU_ACCEL", "kvm"
)  # "tcg" has no VT-x: good for trying the lab itself
NESTED = "/sys/module/kvm_intel/parameters/nested"


def check():
    if not os.path.exists(PROGRAM):
        raise LabError("LAB=qemu needs Debian's qemu-system-x86: `make deps LAB=qemu` installs it")
    if ACCELERATOR != "kvm":
        return
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise LabError("LAB=qemu needs /dev/kvm, and permission to use it; LAB=bochs needs neither")
    if not os.path.exists(NESTED) or image.read(NESTED).strip() not in (b"Y", b"1"):
        raise LabError(
            "LAB=qemu needs VT-x inside of KVM's guests: this machine's kvm_intel doesn't offer it "
            "(its parameter nested)"
        )


def start(machine, job, directory, terminal, held):
    """Starts a run."""
    job.heartbeat = 0  # Bochs alone needs it
    write(f"{directory}/initramfs", image.base_initramfs(machine) + image.Payload(job).data())
    console = f"serial,path={terminal.path}" if terminal else f"file,path={directory}/console"
    command = [
        PROGRAM,
        "-accel",
        ACCELERATOR,
        "-cpu",
        "host" if ACCELERATOR == "kvm" else "max",
        "-machine",
        "pc",
        "-smp",
        str(machine.cpus),
        "-m",
        f"{machine.memory_mb}M",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
        "-device",
        "isa-debug-exit,iobase=0x501",  # minilab.c: QEMU_EXIT_PORT
        "-kernel",
        machine.kernel.image,
        "-initrd",
        f"{directory}/initramfs",
        "-append",
        machine.command_line(),
        "-chardev",
        f"{console},id=console",
        "-serial",
        "chardev:console",
        "-chardev",
        f"file,path={directory}/output,id=output",
        "-parallel",
        "chardev:output",
        "-chardev",
        f"file,path={directory}/records,id=records",
        "-parallel",
        "chardev:records",
    ]
    with open(f"{directory}/qemu.out", "wb") as said:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def explain(_, directory, outcome, status):
    """Why a run ended without saying so itself."""
    said = image.read(f"{directory}/qemu.out").decode(errors="replace").strip()
    if status < 0:
        outcome.code, outcome.problem = errors.CANNOT, f"QEMU was killed by signal {-status}"
    elif said:
        outcome.code, outcome.problem = errors.CANNOT, f"QEMU: {said}"
    else:
        outcome.code, outcome.problem = errors.CRASHED, "the lab's machine reset or was powered off"
