# SPDX-License-Identifier: GPL-2.0
"""What a lab machine is made of, and the kernel command line that follows from it."""

from dataclasses import dataclass

DEFAULT_MODEL = "corei7_skylake_x"
DEFAULT_SMP_MODEL = "corei7_haswell_4770"
DEFAULT_IPS = 40_000_000
DEFAULT_SMP_IPS = 10_000_000
DEFAULT_MEMORY = 512

# These state a TSC frequency of 3.5 GHz in CPUID whatever `ips` is.
WRONG_TSC_FREQUENCY = ("corei7_skylake_x", "corei3_cnl")


def own_module(spec):
    """Whether a module is a file, and not one that came with the kernel."""
    return spec.split(",")[0].endswith(".ko")


@dataclass
class Machine:
    kernel: object
    model: str
    cpus: int
    memory_mb: int
    ips: int
    append: str
    modules: list  # of the kernel's own, NAME[,parameter=value]…; they are part of the snapshot

    @staticmethod
    def from_options(options, kernel):
        smp = options.cpus > 1
        return Machine(
            kernel=kernel,
            model=options.cpu or (DEFAULT_SMP_MODEL if smp else DEFAULT_MODEL),
            cpus=options.cpus,
            memory_mb=options.mem,
            ips=options.ips or (DEFAULT_SMP_IPS if smp else DEFAULT_IPS),
            append=options.append,
            modules=[m for m in options.module if not own_module(m)],
        )

    def command_line(self, *more):
        """A later word wins over an earlier one, so that --append overrides what is said here."""
        words = [
            "console=ttyS0,115200",
            "quiet",
            "loglevel=1",
            "panic=-1",
            "oops=panic",  # an oops ends the run at once
            "nokaslr",
            "cryptomgr.notests=1",
            "nohpet",  # leaves the PIT to minilab.ko's heartbeat
            "idle=halt",  # deeper idle states stop timers on old models, and Linux turns to the PIT
            "mitigations=off",
        ]
        return " ".join(words + list(more) + ([self.append] if self.append else []))
