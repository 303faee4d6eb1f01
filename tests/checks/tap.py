# SPDX-License-Identifier: GPL-2.0
"""Reads a test program's TAP as it comes."""

import re

PLAN = re.compile(r"1\.\.(\d+)(?:\s+# SKIP\s*(.*))?\s*$", re.I)
TEST = re.compile(r"(not )?ok (\d+)(?: - | )?(.*?)(?:\s+# (SKIP|TODO)\s*(.*))?\s*$", re.I)

REMARK = "# remark: "


class Reader:
    """Feeds on lines; calls passed(name), failed(name, why), skipped(name, why) and remarked(what).
    `why` of a failure are the diagnostics ("# …") before it; "# remark: …" is one. finish() reports
    what the plan promised and didn't come."""

    def __init__(self, sink, names=()):
        self.sink = sink
        self.names = list(names)  # of the tests in order, where they are known
        self.plan = None
        self.seen = 0
        self.notes = []

    def line(self, text):
        text = text.rstrip("\r\n")
        plan, test = PLAN.match(text), TEST.match(text)
        if plan:
            self.plan = int(plan[1])
            if plan[2] is not None and self.plan == 0:
                self.sink.skipped("all", plan[2])
        elif test:
            self._test(test)
        elif text.startswith(REMARK):
            self.sink.remarked(text[len(REMARK) :])
        elif text.startswith("#"):
            self.notes.append(text[1:].strip())

    def _test(self, match):
        self.seen += 1
        name = match[3] or f"test {match[2]}"
        if (match[4] or "").upper() == "SKIP":
            self.sink.skipped(name, match[5])
        elif match[1]:
            self.sink.failed(name, self.notes)
        else:
            self.sink.passed(name)
        self.notes = []

    def finish(self, ended, problem=None):
        """After the program's end. `ended`: by itself; `problem`: a sentence on how else."""
        if self.plan is None:
            self._missing(
                self.names or ["(no plan)"], problem or "the program printed no plan of its tests"
            )
        elif self.seen < self.plan:
            names = (
                self.names[self.seen :]
                if len(self.names) == self.plan
                else [f"test {n}" for n in range(self.seen + 1, self.plan + 1)]
            )
            self._missing(names, problem or "the program ended before this test")
        elif self.seen > self.plan:
            self.sink.failed("(plan)", [f"{self.seen} tests ran, {self.plan} were planned"])
        elif not ended:
            self.sink.failed("(end)", [problem or "the program failed after its last test"])

    def _missing(self, names, problem):
        """The first of them is the one that was running."""
        self.sink.failed(names[0], [*self.notes, problem])
        for name in names[1:]:
            self.sink.failed(name, ["did not run"])
