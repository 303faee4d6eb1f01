# SPDX-License-Identifier: GPL-2.0
"""The table of cells: on which machine, in which mode, the tests run in the lab."""

import glob
import os
from dataclasses import dataclass, field

SELFTESTS = "tests/selftests"


@dataclass
class Cell:
    name: str
    cpu: str  # Bochs's model
    mmu: str = "ept"
    cpus: int = 1
    device: str = "/dev/minivmm"
    modules: list = field(default_factory=lambda: ["minivmm.ko"])
    selftests: dict = None  # program: patterns of its tests; all of all where there is none
    commands: dict = field(default_factory=dict)  # name: Command, other than selftests

    def programs(self):
        """{program: patterns} of the selftests that run here."""
        return (
            self.selftests if self.selftests is not None else {name: [] for name in all_selftests()}
        )


@dataclass
class Command:
    """A test that is a command on the host, which uses the lab itself."""

    command: list
    expect: str  # a line of its output
    environment: dict = field(default_factory=dict)


def all_selftests():
    return sorted(os.path.basename(path)[:-2] for path in glob.glob(f"{SELFTESTS}/*.c"))


def debian_boot(mmu):
    return Command(["tests/lab/demo/run"], expect="42", environment={"MMU": mmu})


CELLS = [
    Cell("skylake-ept", "corei7_skylake_x", commands={"boot_debian": debian_boot("ept")}),
    Cell("haswell-ept-2cpus", "corei7_haswell_4770", cpus=2),
    Cell(
        "skylake-beside-kvm",
        "corei7_skylake_x",
        modules=["kvm_intel", "minivmm.ko"],
        selftests={"host": []},
    ),
    # The same tests on KVM: what fails here is a wrong test, or a bug of Bochs.
    Cell("skylake-kvm", "corei7_skylake_x", device="/dev/kvm", modules=["kvm_intel,pml=0"]),
    # No EPT, nor unrestricted guest: what the module can't do there is refused.
    Cell(
        "penryn",
        "core2_penryn_t9600",
        mmu="default",
        selftests={"abi": [], "system": ["create_vm_of_each_mmu"]},
    ),
]

# What `make check-all` adds.
MORE_CELLS = [
    Cell("lynnfield-ept", "corei5_lynnfield_750"),
    Cell("arrandale-ept", "corei5_arrandale_m520"),
    Cell("sandybridge-ept", "corei7_sandy_bridge_2600k"),
    Cell("ivybridge-ept", "corei7_ivy_bridge_3770k"),
    Cell("broadwell-ept", "broadwell_ult"),
    Cell("cannonlake-ept", "corei3_cnl"),
    Cell(
        "haswell-kvm-2cpus", "corei7_haswell_4770", cpus=2, device="/dev/kvm", modules=["kvm_intel"]
    ),
]
