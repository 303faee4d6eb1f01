# SPDX-License-Identifier: GPL-2.0
"""Counts results and prints a line for each, as they come in from several threads."""

import threading
import time


SLOWEST = 10


class Report:
    def __init__(self):
        self.lock = threading.Lock()
        self.passed = self.failed = self.skipped = 0
        self.failures, self.skips, self.remarks = [], [], []
        self.times = []  # (seconds, what)

    def group(self, name):
        return Group(self, name)

    def took(self, seconds, what):
        with self.lock:
            self.times.append((seconds, what))

    def summary(self):
        """Prints what to look at again, and the count on the last line; returns the exit status."""
        if len(self.times) > SLOWEST:
            print("\nSlowest:")
            for seconds, what in sorted(self.times, reverse=True)[:SLOWEST]:
                print(f"  {seconds:6.1f}s  {what}")
        for title, names in (
            ("Remarks", self.remarks),
            ("Skipped", self.skips),
            ("Failed", self.failures),
        ):
            if names:
                print(f"\n{title}:")
                for name in names:
                    print(f"  {name}")
        if self.skipped:
            print(f"\n{self.skipped} skipped")
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0


class Group:
    """The results of one program or step; each line says how long after the one before it came."""

    def __init__(self, report, name):
        self.report = report
        self.name = name
        self.last = time.monotonic()

    def _line(self, verdict, name):
        now = time.monotonic()
        print(f"{verdict:8} {now - self.last:6.1f}s  {self.name}: {name}", flush=True)
        self.last = now

    def passed(self, name):
        with self.report.lock:
            self.report.passed += 1
            self._line("ok", name)

    def failed(self, name, why=()):
        with self.report.lock:
            self.report.failed += 1
            self.report.failures.append(f"{self.name}: {name}")
            self._line("FAILED", name)
            for text in why:
                print(f"           | {text}", flush=True)

    def skipped(self, name, why):
        with self.report.lock:
            self.report.skipped += 1
            self.report.skips.append(f"{self.name}: {name}: {why}")
            self._line("skipped", f"{name}: {why}")

    def remarked(self, what):
        with self.report.lock:
            self.report.remarks.append(f"{self.name}: {what}")
