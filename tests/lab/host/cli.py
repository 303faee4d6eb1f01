# SPDX-License-Identifier: GPL-2.0
"""The lab's command line."""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile

from host import bochs, errors, image, kernel, machine, metal, qemu, session, verdict
from host.errors import LabError
from host.job import Job
from host.terminal import Terminal

BACKENDS = {"bochs": bochs, "qemu": qemu, "host": metal}
DEFAULT_TICKS = 20 * 10**9
TICKS_PER_SECOND_AT_LEAST = 2_000_000  # of a machine that can run Bochs at all

DESCRIPTION = """\
Runs a command in a virtual machine with VT-x: Debian's kernel and busybox, the given files and
modules, on the Bochs emulator, which needs no VT-x itself. The first run of a kind of machine boots
it (10 s) and keeps a snapshot; every later one begins from there in half a second, always from the
same instant. What the command prints comes to stdout, the kernel's messages to stderr.
"""

EXAMPLES = f"""\
files are placed in /lab, which is the command's directory and in its PATH. Programs bring their
shared libraries with them. For example:

  tests/lab/lab run -- uname -a
  tests/lab/lab run --module minivmm.ko --file tools/vmrun/vmrun -- vmrun --help
  tests/lab/lab run --cpus 2 --module kvm_intel,ept=0 --file build/test -- test --dev /dev/kvm

exit status: the command's own, or
  {errors.WARNINGS}  it ended with 0, but the kernel logged a warning meanwhile
  {errors.CRASHED}  the lab's kernel or machine went down
  {errors.HUNG}  the limit of ticks was reached
  {errors.CANNOT}  the lab could not run it

environment: LAB=bochs|qemu|host chooses where (Documentation/lab.md); LAB_CACHE=DIR where snapshots
are kept (build/lab).
"""


def tick_count(text):
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKMG]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is not a count like 500M or 20G")
    return int(
        float(match[1]) * {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}[match[2]]
    )


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(errors.CANNOT, f"lab: {message}\n")


def parser():
    top = Parser(
        prog="lab",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="action", required=True, metavar="run | shell | initramfs")
    run = commands.add_parser(
        "run",
        help="run a command",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("command", nargs="+", metavar="COMMAND", help="what to run, after --")
    run.add_argument(
        "--terminal",
        action="store_true",
        help="the command gets this terminal; Ctrl-] leaves the lab",
    )
    shell = commands.add_parser("shell", help="a shell on this terminal; Ctrl-] leaves the lab")
    shell.set_defaults(command=["sh", "-l"], terminal=True)
    for p in (run, shell):
        machine_options(p)
        run_options(p)
    ramdisk = commands.add_parser(
        "initramfs", help="write an initramfs for a guest: busybox and files"
    )
    ramdisk.add_argument("output", metavar="OUTPUT")
    ramdisk.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="SRC[:DST]",
        help="one of them has to become /init",
    )
    return top


def machine_options(p):
    p.add_argument(
        "--cpu",
        metavar="MODEL",
        help=f"Bochs's CPU model ({machine.DEFAULT_MODEL}; with several "
        f"CPUs {machine.DEFAULT_SMP_MODEL})",
    )
    p.add_argument("--cpus", type=positive, default=1, metavar="N", help="number of CPUs (1)")
    p.add_argument(
        "--mem",
        type=positive,
        default=machine.DEFAULT_MEMORY,
        metavar="MB",
        help=f"memory ({machine.DEFAULT_MEMORY})",
    )
    p.add_argument(
        "--ips",
        type=tick_count,
        metavar="N",
        help="instructions per virtual second (40M; with several CPUs 10M)",
    )
    p.add_argument(
        "--append",
        default="",
        metavar="ARGS",
        help="more of the kernel's command line; by default it has mitigations=off",
    )
    p.add_argument(
        "--kernel",
        metavar="VERSION|PATH",
        help="this machine's, or the newest, with headers installed",
    )


def run_options(p):
    p.add_argument(
        "--file",
        action="append",
        default=[],
        metavar="SRC[:DST]",
        help="place a file or a directory",
    )
    p.add_argument(
        "--module",
        action="append",
        default=[],
        metavar="NAME[,P=V…]",
        help="insert one of the kernel's modules (kvm_intel) or a file (minivmm.ko) before",
    )
    p.add_argument(
        "--ticks",
        type=tick_count,
        metavar="N",
        help="the limit after which the command has hung, "
        "in Bochs's instructions (20G; none with a terminal)",
    )
    p.add_argument(
        "--seconds",
        type=positive,
        metavar="S",
        help="the same in wall-clock time: in Bochs a last resort "
        "(300 or more, by --ticks), elsewhere the limit (600)",
    )
    p.add_argument(
        "--heartbeat",
        type=int,
        default=100,
        metavar="HZ",
        help="NMIs per virtual second that keep "
        "Bochs's bug with RFLAGS.IF=0 from hanging it (100); 0 for exact measurements",
    )
    p.add_argument(
        "--allow-warnings", action="store_true", help="don't fail for warnings in the kernel's log"
    )
    p.add_argument(
        "--count",
        action="store_true",
        help="count VM exits, VMREADs and the like, for programs in the lab to read (Bochs only)",
    )
    p.add_argument("--fresh", action="store_true", help="boot anew, even if there is a snapshot")
    p.add_argument("--keep", metavar="DIR", help="leave the run's logs there")


def named_files(specs):
    """(source, destination) of each SRC[:DST]."""
    files = []
    for spec in specs:
        source, _, destination = spec.partition(":")
        if not os.path.exists(source):
            raise LabError(f"there is no file {source}")
        files.append((source, destination or os.path.basename(source.rstrip("/"))))
    return files


def job_from(options):
    modules = [spec for spec in options.module if machine.own_module(spec)]
    for path in (spec.split(",")[0] for spec in modules):
        if not os.path.exists(path):
            raise LabError(f"there is no module {path}; `make` builds it")
    job = Job(
        command=options.command,
        files=named_files(options.file),
        modules=modules,
        terminal=options.terminal,
        heartbeat=options.heartbeat,
        allow_warnings=options.allow_warnings,
        fresh=options.fresh,
        count=options.count,
        keep=options.keep,
    )
    job.ticks = options.ticks or (0 if job.terminal else DEFAULT_TICKS)
    job.seconds = options.seconds or default_seconds(job)
    return job


def default_seconds(job):
    if job.terminal:
        return 0
    return max(300, job.ticks // TICKS_PER_SECOND_AT_LEAST) if backend() is bochs else 600


def backend():
    name = os.environ.get("LAB") or "bochs"
    if name not in BACKENDS:
        raise LabError(f"LAB={name}: there are {', '.join(BACKENDS)}")
    return BACKENDS[name]


def run(options):
    where = backend()
    where.check()
    if options.count and where is not bochs:
        raise LabError("--count needs the machine that Bochs emulates: LAB=bochs")
    job = job_from(options)
    lab = machine.Machine.from_options(options, kernel.find(options.kernel))
    directory = tempfile.mkdtemp(prefix="lab-")
    try:
        if where is metal:
            return verdict.report(metal.run(lab, job, directory), job, [])
        terminal = Terminal() if job.terminal else None
        if terminal:
            job.rows, job.columns = terminal.rows, terminal.columns
            print("lab: Ctrl-] leaves", file=sys.stderr)
        outcome, console = session.run(where, lab, job, directory, terminal)
        return verdict.report(outcome, job, console)
    finally:
        if job.keep:
            keep_logs(directory, job.keep)
        shutil.rmtree(directory, ignore_errors=True)


def initramfs(options):
    data = image.guest_initramfs(named_files(options.file))
    with open(options.output, "wb") as f:
        f.write(data)
    return 0


def keep_logs(directory, destination):
    os.makedirs(destination, exist_ok=True)
    for name in ("output.log", "records.log", "console.log", "bochs.log", "bochs.out", "qemu.out"):
        if os.path.exists(f"{directory}/{name}"):
            shutil.copy(f"{directory}/{name}", destination)


def main(arguments):
    options = parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return initramfs(options) if options.action == "initramfs" else run(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return errors.CANNOT
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
