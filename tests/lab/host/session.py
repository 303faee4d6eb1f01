# SPDX-License-Identifier: GPL-2.0
"""One run of a virtual machine: starts it, moves its output to the user, finds out how it ended."""

import contextlib
import os
import sys

from host import errors
from host.job import Outcome, read_records
from host.streams import Wire, relay
from host.terminal import Left

WIRES = ("output", "records", "console")


def run(backend, machine, job, directory, terminal=None):
    """`backend` is the module bochs or qemu. Returns the outcome and the console's lines."""
    output = Wire(f"{directory}/output", None if terminal else sys.stdout.buffer)
    records = Wire(f"{directory}/records")
    console = terminal or Wire(f"{directory}/console", sys.stderr.buffer)
    outcome = Outcome()
    in_time = True
    with contextlib.ExitStack() as held:
        process = backend.start(machine, job, directory, terminal, held)
        held.callback(process.wait)
        held.callback(process.kill)
        if terminal:
            held.enter_context(terminal.raw())
        try:
            in_time = relay(
                process,
                (output, records, console),
                terminal.inputs() if terminal else (),
                job.seconds,
            )
        except Left:
            outcome.left = True
    read_records(records.lines(), outcome)
    if not in_time:
        outcome.code, outcome.problem = (
            errors.HUNG,
            f"the lab was stopped after {job.seconds} s of wall-clock time",
        )
    elif not (outcome.ended or outcome.problem or outcome.left):
        backend.explain(job, directory, outcome, process.returncode)
    for name, wire in zip(WIRES, (output, records, console)):
        keep(os.path.join(directory, f"{name}.log"), wire.received)
    return outcome, console.lines()


def keep(path, data):
    with open(path, "wb") as f:
        f.write(data)
