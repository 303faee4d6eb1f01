# SPDX-License-Identifier: GPL-2.0
"""The lab on Bochs: starts it from a snapshot, and understands what it says when it ends."""

import os
import re
import subprocess

from host import counter, errors, snapshot, tools
from host.errors import LabError
from host.image import Payload, read
from host.kernel import module_name
from host.symbols import Symbols

NAME = "Bochs"


def check():
    missing = [
        path
        for path in (snapshot.BOCHS, snapshot.BIOS, snapshot.VGA_BIOS)
        if not os.path.exists(path)
    ]
    if missing:
        raise LabError(
            f"{missing[0]} is missing: install Debian's bochs, bochsbios and vgabios (`make deps`)"
        )


def start(machine, job, directory, terminal, held):
    """Starts a run; what it needs is released with `held`."""
    payload = Payload(job).data()
    saved = held.enter_context(
        snapshot.restorable(machine, snapshot.payload_size(payload), job.fresh)
    )
    helpers = held.enter_context(tools.bochs_tools())
    com1 = f"mode=term, dev={terminal.path}" if terminal else "mode=file, dev=console"
    snapshot.prepare_restore(saved, directory, payload, com1)
    os.symlink(f"{saved}/symbols", f"{directory}/symbols")
    limits = {"LAB_TICKS": job.ticks, "LAB_PACE": machine.ips if terminal else 0}
    environment = snapshot.hooked(helpers, **limits)
    if job.count:
        environment["LD_PRELOAD"] += f":{held.enter_context(counter.library())}/count.so"
    with open(f"{directory}/bochs.out", "wb") as said:
        return subprocess.Popen(
            snapshot.bochs_command("-r", "state"),
            cwd=directory,
            env=environment,
            stdin=snapshot.answers(directory),
            stdout=said,
            stderr=subprocess.STDOUT,
        )


def explain(job, directory, outcome, status):
    """Why a run ended without saying so itself, by what Bochs printed."""
    said = read(f"{directory}/bochs.out").replace(b"\0", b"").decode(errors="replace")
    message = re.search(r"exiting with the following message:\s*\n\s*(.*)", said)
    if "hook: limit reached" in said:
        outcome.code = errors.HUNG
        outcome.problem = f"the command had not ended after {job.ticks:,} ticks"
        outcome.detail = where_cpus_are(said, symbols(directory, job, outcome))
    elif message:
        outcome.code = errors.CRASHED
        outcome.problem = machine_ended(message[1])
    elif status < 0:
        outcome.code = errors.CANNOT
        outcome.problem = f"Bochs was killed by signal {-status}"
    else:
        outcome.code = errors.CANNOT
        outcome.problem = "Bochs ended without a reason: " + " | ".join(
            said.strip().splitlines()[-3:]
        )


def machine_ended(message):
    if "soft power off" in message:
        return "the lab was powered off before the command ended"
    if "3rd" in message:
        return f"the lab's CPU took a triple fault ({message.strip()})"
    return f"the lab's machine stopped: {message.strip()}"


def symbols(directory, job, outcome):
    """Those of the lab's kernel, and of the modules that the run inserted."""
    known = Symbols(read(f"{directory}/symbols").decode())
    for spec in job.modules:
        name = module_name(spec)
        if name in outcome.modules:
            known.add_module(spec.split(",")[0], outcome.modules[name])
    return known


def where_cpus_are(said, known):
    """The instruction that each CPU was at, from what the debugger says when it is entered."""
    after = said[said.index("hook: limit reached") :]
    return [
        f"CPU {cpu} was at {address} ({known.name(int(address, 16))}): {instruction.strip()}"
        for cpu, address, instruction in re.findall(
            r"^\((\d+)\) \[[^\]]*\] [0-9a-f]{4}:([0-9a-f]+) \([^)]*\): ([^;\n]*)", after, re.M
        )
    ]
