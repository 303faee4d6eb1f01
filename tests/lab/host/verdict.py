# SPDX-License-Identifier: GPL-2.0
"""From an outcome to sentences and an exit status."""

import re
import sys

from host import errors

# What a healthy kernel does not say.
ALARMS = re.compile(
    r"WARNING:|BUG:|BUG at|Oops|general protection fault|KASAN|UBSAN|KCSAN"
    r"|kmemleak: (?!\d+ new)"  # what is new tests/lab/guest/leaks says
    r"|INFO: (task|rcu|lockdep|trying|possible)|rcu_.*detected stalls|possible recursive locking"
    r"|soft lockup|hard LOCKUP|Unknown NMI|NMI received for unknown|unchecked MSR"
    r"|scheduling while atomic"
    r"|Call Trace:|refcount_t:|Bad page|list_(add|del) corruption"
)

# 6.1 with lockdep: mprotect() splits a mapping of hugetlbfs and asserts locks that it takes afterwards.
KNOWN = re.compile(r"WARNING: .* at hugetlb_split\+")


def say(text):
    print(f"lab: {text}", file=sys.stderr)


def alarms(log):
    found, known = [], False
    for line in log:
        if KNOWN.search(line) or "end trace" in line:
            known = "end trace" not in line
        elif not known and ALARMS.search(line):
            found.append(line)
    return found


def report(outcome, job, console):
    sys.stdout.flush()
    if outcome.left:
        return 0
    if outcome.problem:
        say(outcome.problem)
        for line in outcome.detail:
            say(f"  {line}")
        tail = console[-12:]
        if tail:
            say("the console's last lines:")
            print("\n".join(f"  | {line}" for line in tail), file=sys.stderr)
        return outcome.code
    found = alarms(outcome.log)
    if found and not job.allow_warnings:
        say(f"the command ended with {outcome.status}, but the lab's kernel complained:")
        print("\n".join(f"  | {line}" for line in found[:10]), file=sys.stderr)
        return outcome.status or errors.WARNINGS
    return outcome.status
