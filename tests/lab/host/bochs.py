# SPDX-License-Identifier: GPL-2.0
"""Runs a job on Bochs: restore a snapshot with the job's files, watch it, say how it ended."""

import os
import re
import subprocess
import sys

from host import errors, snapshot, tools
from host.errors import LabError
from host.image import Payload, read
from host.job import Outcome, read_records
from host.kernel import module_name
from host.streams import Wire, relay
from host.symbols import Symbols

TICKS_PER_SECOND_AT_LEAST = 2_000_000   # of any machine that can run this at all


def check():
    missing = [path for path in (snapshot.BOCHS, snapshot.BIOS, snapshot.VGA_BIOS) if not os.path.exists(path)]
    if missing:
        raise LabError(f"{missing[0]} is missing: install Debian's bochs, bochsbios and vgabios (`make deps`)")


def run(machine, job, directory, terminal=None):
    payload = Payload(job).data()
    size = snapshot.payload_size(payload)
    with snapshot.restorable(machine, size, job.fresh) as saved:
        com1 = (f"com1: enabled=1, mode=term, dev={terminal.path}" if terminal
                else "com1: enabled=1, mode=file, dev=console")
        snapshot.prepare_restore(saved, directory, payload, com1)
        return watch(job, directory, f"{saved}/symbols", terminal)


def watch(job, directory, symbols, terminal):
    output = Wire(f"{directory}/output", None if terminal else sys.stdout.buffer)
    records = Wire(f"{directory}/records")
    console = terminal or Wire(f"{directory}/console", sys.stderr.buffer)
    seconds = job.seconds or max(300, job.ticks // TICKS_PER_SECOND_AT_LEAST)
    with open(f"{directory}/bochs.out", "wb") as said, tools.bochs_tools() as helpers:
        process = subprocess.Popen(snapshot.bochs_command("-r", "state"), cwd=directory,
                                   env=snapshot.hooked(helpers, LAB_TICKS=str(job.ticks)),
                                   stdin=snapshot.answers(directory), stdout=said, stderr=subprocess.STDOUT)
        try:
            in_time = relay(process, [output, records, console], seconds, terminal.inputs() if terminal else ())
        finally:
            process.kill()
            process.wait()

    outcome = Outcome()
    read_records(records.lines(), outcome)
    if not outcome.ended and not outcome.problem:
        explain(job, directory, outcome, symbols, seconds if not in_time else None)
    keep_text(directory, output=output, records=records, console=console)
    return outcome, console.lines()


def keep_text(directory, **wires):
    for name, wire in wires.items():
        snapshot.write(f"{directory}/{name}.log", bytes(wire.received))


def explain(job, directory, outcome, symbols, stopped_after):
    """Why a run ended without saying so itself, by what Bochs printed."""
    with open(f"{directory}/bochs.out", "rb") as f:
        said = f.read().replace(b"\0", b"").decode(errors="replace")
    message = re.search(r"exiting with the following message:\s*\n\s*(.*)", said)
    if stopped_after:
        outcome.code = errors.HUNG
        outcome.problem = f"the lab was stopped after {stopped_after} s of wall-clock time"
    elif "hook: limit reached" in said:
        outcome.code = errors.HUNG
        outcome.problem = f"the command had not ended after {job.ticks:,} ticks"
        outcome.detail = where_cpus_are(said, loaded_symbols(symbols, job, outcome))
    elif message:
        outcome.code = errors.CRASHED
        outcome.problem = machine_ended(message[1])
    else:
        outcome.code = errors.CANNOT
        outcome.problem = "Bochs ended without a reason: " + " | ".join(said.strip().splitlines()[-3:])


def machine_ended(message):
    if "soft power off" in message:
        return "the lab was powered off before the command ended"
    if "3rd" in message or "triple" in message:
        return f"the lab's CPU took a triple fault ({message.strip()})"
    return f"the lab's machine stopped: {message.strip()}"


def loaded_symbols(path, job, outcome):
    symbols = Symbols(read(path).decode())
    for spec in job.modules:
        name = module_name(spec)
        if name in outcome.modules:
            symbols.add_module(spec.split(",")[0], outcome.modules[name])
    return symbols


def where_cpus_are(said, symbols):
    """The instruction that each CPU was at, from the debugger's answer to the limit."""
    after = said[said.index("hook: limit reached"):]
    return [f"CPU {cpu} was at {address} ({symbols.name(int(address, 16))}): {instruction.strip()}"
            for cpu, address, instruction in
            re.findall(r"^\((\d+)\) \[[^\]]*\] [0-9a-f]{4}:([0-9a-f]+) \([^)]*\): ([^;\n]*)", after, re.M)]
