# SPDX-License-Identifier: GPL-2.0
"""The steps on the host: builds, and the unit tests. Each takes a Suite (see ../check) and reports
to its report."""

import os
import re
import shutil
import subprocess

from checks.tap import Reader
from host import kernel

DIAGNOSTIC = re.compile(r"^(\S+?):\d+(?::\d+)?: (?:fatal )?(?:warning|error): .*")
UNIT_SECONDS = 1800  # all of them: a last resort against one that hangs
UNIT_PROGRAM = re.compile(r"# \S*/\S+$")
FROM_GCC = re.compile(r"\[-W[^\]]*\]$|: (fatal )?error: ")


def run_logged(log, command, **more):
    """Runs a command; its status and output, which is kept in a file too."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **more,
    )
    with open(log, "ab") as f:
        f.write(done.stdout)
    return done.returncode, done.stdout.decode(errors="replace")


def verdict(group, name, failures):
    if failures:
        group.failed(name, failures[:20])
    else:
        group.passed(name)
    return not failures


def module(suite, version, audit):
    """Builds a copy of the module's sources from nothing, at W=1 and with sparse (C=1)."""
    what = ("build" if version == suite.kernel else f"build for {version}") + " with audit" * audit
    group = suite.report.group(what)
    headers = kernel.find(version).headers
    tree = os.path.abspath(f"{suite.directory}/module-{version}" + "-audit" * audit)
    shutil.rmtree(tree, ignore_errors=True)
    no_objects = shutil.ignore_patterns("*.o", "*.ko", "*.mod", "*.mod.c", ".*", "offsets.*[sh]")
    for name in ("src", "include"):
        shutil.copytree(name, f"{tree}/{name}", ignore=no_objects)
    shutil.copy("Kbuild", tree)
    status, said = run_logged(
        suite.log("module"),
        ["make", f"-j{suite.jobs}", "-C", headers, f"M={tree}", "W=1", "C=1", "modules"]
        + ["MMU_AUDIT=y"] * audit,
    )
    ours = [
        line.replace(tree + "/", "")
        for line in said.splitlines()
        if (m := DIAGNOSTIC.match(line)) and m[1].startswith(tree)
    ]
    built = status == 0 and os.path.exists(f"{tree}/minivmm.ko")
    if built:  # debugging information, which the lab would carry into each of its machines
        run_logged(suite.log("module"), ["strip", "--strip-debug", f"{tree}/minivmm.ko"])
    gcc = [line for line in ours if FROM_GCC.search(line)]
    sparse = [line for line in ours if not FROM_GCC.search(line)]
    unbuilt = [] if built else [*said.strip().splitlines()[-10:], f"log: {suite.log('module')}"]
    verdict(group, "module without a warning at W=1", gcc or unbuilt)
    verdict(group, "sparse (C=1) finds nothing", sparse or unbuilt)
    if built:
        suite.modules[version, audit] = f"{tree}/minivmm.ko"


def runner(suite):
    """vmrun, whose Makefile makes every warning an error."""
    group = suite.report.group("build")
    status, said = run_logged(suite.log("vmrun"), ["make", "-C", "tools/vmrun", f"-j{suite.jobs}"])
    verdict(group, "vmrun without a warning", said.splitlines()[-10:] if status else [])


def test_programs(suite):
    group = suite.report.group("build")
    status, said = 0, ""
    for directory in ("tests/guests", "tests/selftests"):
        status, said = run_logged(
            suite.log("test-programs"), ["make", "-C", directory, f"-j{suite.jobs}"]
        )
        if status:
            break
    verdict(group, "test programs", said.splitlines()[-10:] if status else [])


def unit_tests(suite):
    """The programs of tests/unit; `check` there names each before its output. cmocka speaks TAP."""
    group = suite.report.group("build")
    status, said = run_logged(
        suite.log("unit"), ["make", "-C", "tests/unit", "-k", f"-j{suite.jobs}", "all"]
    )
    if not verdict(group, "unit tests", said.splitlines()[-15:] if status else []):
        return
    readers, failed, status = run_unit_tests(suite)
    if not readers or (status and not failed):
        group = suite.report.group("unit")
        group.failed("(not all ran)", [f"status {status}", f"log: {suite.log('unit')}"])
    for path, reader in readers.items():
        reader.finish(path not in failed, f"the program failed; log: {suite.log('unit')}")


def run_unit_tests(suite):
    """Runs and reads all programs; ({program: reader}, those that failed, status)."""
    readers, failed, path = {}, [], None
    with open(suite.log("unit"), "ab") as log:
        process = subprocess.Popen(
            ["timeout", str(UNIT_SECONDS), "make", "-s", "-C", "tests/unit", "check"],
            env=dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for data in process.stdout:
            log.write(data)
            line = data.decode(errors="replace").rstrip()
            if UNIT_PROGRAM.match(line):
                path = line[2:]
                readers[path] = Reader(suite.report.group(f"unit {os.path.basename(path)}"))
            elif line.startswith("failed:"):
                failed = line.split()[1:]
            elif path:
                readers[path].line(line)
        return readers, failed, process.wait()


def lab_selftest(suite):
    """The lab's own tests."""
    reader = Reader(suite.report.group("lab"))
    suite.stream(
        ["tests/lab/selftest", "--kernel", suite.kernel], suite.log("lab-selftest"), reader
    )
