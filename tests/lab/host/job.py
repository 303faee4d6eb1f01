# SPDX-License-Identifier: GPL-2.0
"""What a run is asked to do, and what came of it."""

from dataclasses import dataclass, field

from host import errors


@dataclass
class Job:
    command: list
    files: list = field(default_factory=list)  # (source, destination in the lab's directory)
    modules: list = field(default_factory=list)  # PATH.ko[,parameter=value]…
    terminal: bool = False  # the user's terminal is the command's
    rows: int = 24
    columns: int = 80
    ticks: int = 0  # limit, 0 for none
    seconds: int = 0  # wall-clock backstop, 0 for none
    heartbeat: int = 0  # NMIs per second
    loglevel: int = 5
    allow_warnings: bool = False
    fresh: bool = False
    count: bool = False  # what ticks don't weigh: bochs/count.c
    keep: str = None  # directory to keep the run's files in


@dataclass
class Outcome:
    status: int = None  # the command's own exit status, if it got that far
    ended: bool = False  # the session reported its end
    left: bool = False  # the user left with the escape key
    problem: str = None  # otherwise: a sentence that says what happened
    code: int = 0  # and the exit status of the lab for it
    ticks: int = None
    modules: dict = field(default_factory=dict)  # name: address of its .text
    log: list = field(default_factory=list)  # the kernel's messages during the run
    detail: list = field(default_factory=list)  # more about the problem


def read_records(lines, outcome):
    """Takes in what guest/session and minilab.ko report, one record a line."""
    start = None
    for line in lines:
        kind, _, rest = line.partition(" ")
        if kind == "begin":
            start = int(rest)
        elif kind == "exit":
            outcome.status = int(rest)
        elif kind == "module":
            name, address = rest.split()
            outcome.modules[name] = int(address, 16)
        elif kind == "log":
            outcome.log.append(rest)
        elif kind == "end":
            outcome.ended = True
            outcome.ticks = int(rest) - start if start is not None else None
        elif kind == "cannot":
            outcome.problem, outcome.code = f"the lab cannot run this: {rest}", errors.CANNOT
        elif kind == "panic":
            outcome.problem, outcome.code = f"the lab's kernel panicked: {rest}", errors.CRASHED
