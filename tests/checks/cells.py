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
    kernel: str = None  # "debug": the lab's (tests/lab/kernel); else the one that is asked for
    append: str = ""  # of the lab's kernel's command line
    audit: bool = False  # with the module that checks its page tables again and again
    rounds: int = 0  # of what races, where the tests' own choice is too few
    selftests: dict = None  # program: patterns of its tests; all of all where there is none
    partly: dict = field(default_factory=dict)  # then: patterns for some of them
    leaks: tuple = ()  # programs after which the kernel searches for leaks (tests/lab/guest/leaks)
    commands: dict = field(default_factory=dict)  # name: Command, other than selftests

    def programs(self):
        """{program: patterns} of the selftests that run here."""
        if self.selftests is not None:
            return self.selftests
        return {name: [] for name in all_selftests()} | self.partly


@dataclass
class Command:
    """A test that is a command on the host, which uses the lab itself."""

    command: list
    expect: str  # a line of its output; None: it speaks TAP, and --list says which tests it has
    environment: dict = field(default_factory=dict)


def debian_disk(way, mmu, cpus=1, device="/dev/minivmm"):
    """Debian with systemd from a virtio disk: seven minutes."""
    environment = {"GUEST_CPUS": str(cpus), "DEV": device} | ({"MMU": mmu} if mmu else {})
    return {
        f"debian_{way}": Command(
            ["tests/lab/debian/run", way], expect="debian: passed", environment=environment
        )
    }


IN_CELLS_OF_THEIR_OWN = ("audit", "faults", "swap")

# Where nothing happens at the same time a second CPU changes nothing, and all takes thrice as long.
ALONE = ("abi", "debug", "emulated", "events", "exits", "failure", "mmio", "mmioforms", "pio")
ALONE += ("sets", "state", "stats", "system")
INTERRUPT_GUESTS = ("apic", "pic", "smp")


def all_selftests():
    names = sorted(os.path.basename(path)[:-2] for path in glob.glob(f"{SELFTESTS}/*.c"))
    return [name for name in names if name not in IN_CELLS_OF_THEIR_OWN]


def guests(*names):
    """Patterns for the tests of these programs of tests/guests."""
    return [f"{name}.*" for name in names]


def other_guests():
    names = sorted(os.path.basename(path)[:-2] for path in glob.glob("tests/guests/*.c"))
    return guests("emulated", *(name for name in names if name not in INTERRUPT_GUESTS))


def alone():
    return {name: [] for name in ALONE}


def side_by_side():
    return {name: [] for name in all_selftests() if name not in ALONE} | {
        "guests": guests(*INTERRUPT_GUESTS)
    }


def debian_boot(mmu):
    return Command(
        ["tests/lab/demo/run"],
        expect="load: 4 rounds of 4 processes, all right",
        environment={"MMU": mmu, "LOAD": "1"},
    )


def debian_smp(mmu, cpus, end):
    environment = {"MMU": mmu, "GUEST_CPUS": str(cpus), "END": end}
    return Command(["tests/lab/smp/run"], expect="smp: passed", environment=environment)


def virtio(**environment):
    return Command(["tests/lab/virtio/run"], expect="virtio: passed", environment=environment)


def net(**environment):
    return Command(["tests/lab/net/run"], expect="net: passed", environment=environment)


def vhost(**environment):
    return Command(["tests/lab/vhost/run"], expect="vhost: passed", environment=environment)


def snapshot(**environment):
    return Command(["tests/lab/snapshot/run"], expect="snapshot: passed", environment=environment)


def gdb(mmu, cpus, **environment):
    environment = {"MMU": mmu, "GUEST_CPUS": str(cpus)} | environment
    return Command(["tests/lab/gdb/run"], expect="gdb: passed", environment=environment)


def i386(flavour, mmu, **environment):
    return Command(
        ["tests/lab/i386/run", flavour], expect="i386: passed", environment={"MMU": mmu} | environment
    )


def client(**environment):
    """QEMU, as a client of the module."""
    return Command(["tests/lab/client/run"], expect="client: passed", environment=environment)


def kselftests(*patterns, **environment):
    command = ["tests/lab/kselftests/run", *patterns]
    return Command(command, expect=None, environment=environment)


def reboot(way):
    return Command(["tests/lab/reboot/run", way], expect="arrived")


def firmware(*guests, **environment):
    return {
        f"firmware_{guest}": Command(
            ["tests/lab/firmware/run", guest], expect="talk: done", environment=environment
        )
        for guest in guests
    }


def swap(mmu, device="/dev/minivmm", module="minivmm.ko"):
    """Guest memory is swapped out, to a compressed one, and back."""
    return Cell(
        f"swap-{mmu}" + "-kvm" * (device == "/dev/kvm"),
        "corei7_skylake_x",
        mmu,
        device=device,
        modules=["zram", "brd", "ext4", "crc32c_generic", module],
        selftests={"swap": []},
    )


CELLS = [
    Cell(
        "skylake-ept",
        "corei7_skylake_x",
        commands={
            "boot_debian": debian_boot("ept"),
            "gdb": gdb("ept", 1),
            "gdb_smp": gdb("ept", 2),
            **firmware("rom", "multiboot", "grub", "disk", MMU="ept"),
            "virtio": virtio(MMU="ept"),
            "net": net(MMU="ept"),
            "client": client(MMU="ept"),
        },
    ),
    Cell(
        "skylake-shadow",
        "corei7_skylake_x",
        mmu="shadow",
        commands={
            "boot_debian": debian_boot("shadow"),
            "gdb": gdb("shadow", 1),
            "gdb_smp": gdb("shadow", 2),
            **firmware("rom", "multiboot", "prompt", MMU="shadow"),
        },
    ),
    Cell(
        "haswell-ept-2cpus",
        "corei7_haswell_4770",
        cpus=2,
        selftests=side_by_side(),
        commands={
            "kexec": reboot("kexec"),
            "panic": reboot("panic"),
            "boot_debian_smp": debian_smp("ept", 2, "poweroff"),
        },
    ),
    Cell(
        "haswell-shadow-2cpus",
        "corei7_haswell_4770",
        mmu="shadow",
        cpus=2,
        selftests=side_by_side(),
        commands={"boot_debian_smp": debian_smp("shadow", 2, "reboot")},
    ),
    Cell("haswell-ept", "corei7_haswell_4770", selftests=alone()),
    Cell("haswell-shadow", "corei7_haswell_4770", "shadow", selftests=alone()),
    Cell(
        "skylake-beside-kvm",
        "corei7_skylake_x",
        modules=["kvm_intel", "minivmm.ko"],
        selftests={"host": []},
    ),
    # The same tests on KVM: what fails here is a wrong test, or a bug of Bochs.
    Cell("skylake-kvm", "corei7_skylake_x", device="/dev/kvm", modules=["kvm_intel,pml=0"]),
    swap("ept"),
    swap("shadow"),
    # No EPT, VPID, nor unrestricted guest.
    Cell("penryn-shadow", "core2_penryn_t9600", mmu="shadow"),
    # EPT, without unrestricted guest.
    Cell("lynnfield-ept", "corei5_lynnfield_750"),
]

# What `make check-all` adds.
MORE_CELLS = [
    Cell("arrandale-ept", "corei5_arrandale_m520"),
    Cell("sandybridge-ept", "corei7_sandy_bridge_2600k"),
    Cell("ivybridge-ept", "corei7_ivy_bridge_3770k"),
    Cell("broadwell-ept", "broadwell_ult"),
    Cell("cannonlake-ept", "corei3_cnl"),
    Cell("lynnfield-shadow", "corei5_lynnfield_750", mmu="shadow"),
    Cell(
        "haswell-kvm-2cpus", "corei7_haswell_4770", cpus=2, device="/dev/kvm", modules=["kvm_intel"]
    ),
    Cell("skylake-shadow-kvm", "corei7_skylake_x", "shadow", 1, "/dev/kvm", ["kvm_intel,ept=0"]),
    swap("ept", "/dev/kvm", "kvm_intel"),
    swap("shadow", "/dev/kvm", "kvm_intel,ept=0"),
]

# Each optional feature of the CPU off, alone. Those that change how guest memory is mapped or its
# translations are tagged matter to both MMUs.
OPTIONAL = ("ept_ad", "large_pages", "vpid", "unrestricted_guest", "vnmi", "ple", "efer_controls")
OPTIONAL += ("pml", "tpr_shadow", "apic_registers", "preemption_timer")
MORE_CELLS += [
    Cell(f"skylake-{mmu}-without-{name}", "corei7_skylake_x", mmu, modules=[f"minivmm.ko,{name}=0"])
    for name in OPTIONAL
    for mmu in (("ept", "shadow") if name in ("large_pages", "vpid") else ("ept",))
]
# A million IPIs between vCPUs, a million signals of irqfds: some minutes each.
MORE_CELLS += [
    Cell(
        "skylake-ept-million",
        "corei7_skylake_x",
        rounds=1000000,
        selftests={
            "guests": ["smp.ipis_there_and_back"],
            "eventfd": ["no_irqfd_signal_is_lost_or_doubled"],
        },
    )
]

# Off by default. Bochs's exits don't tell of a delivery by the CPU that didn't finish, which these
# guests have none of.
MORE_CELLS += [
    Cell(
        f"skylake-{mmu}-virtual-interrupts",
        "corei7_skylake_x",
        mmu,
        modules=["minivmm.ko,virtual_interrupts=1"],
        selftests={"guests": guests(*INTERRUPT_GUESTS)},
    )
    for mmu in ("ept", "shadow")
]
MORE_CELLS += [
    Cell(f"debian-{name}", "", selftests={}, commands=commands)
    for name, commands in {
        "ept": debian_disk("kernel", "ept") | debian_disk("disk", "ept")
        | debian_disk("installer", "ept"),
        "shadow": debian_disk("kernel", "shadow") | debian_disk("disk", "shadow"),
        "ept-2cpus": debian_disk("kernel", "ept", 2),
        "shadow-2cpus": debian_disk("kernel", "shadow", 2),
        "kvm": debian_disk("kernel", None, device="/dev/kvm"),
    }.items()
]

# What `make check` runs on one CPU only, or not on this one.
MORE_CELLS += [
    Cell(
        f"haswell-{mmu}-2cpus-others",
        "corei7_haswell_4770",
        mmu,
        cpus=2,
        selftests=alone() | {"guests": other_guests()},
    )
    for mmu in ("ept", "shadow")
]

# More vCPUs than the lab has CPUs.
MORE_CELLS += [
    Cell(
        f"haswell-{mmu}-4-on-2cpus",
        "corei7_haswell_4770",
        selftests={},
        commands={"boot_debian_smp": debian_smp(mmu, 4, "poweroff")},
    )
    for mmu in ("ept", "shadow")
]
MORE_CELLS += [
    Cell("skylake-shadow-without-ept", "corei7_skylake_x", "shadow", modules=["minivmm.ko,ept=0"])
]

# Firmware with unrestricted guest and without, which shadow mode never has; on KVM, too, what it can.
ALL_FIRMWARE = ("rom", "multiboot", "grub", "disk", "memtest")
FIRMWARE = {
    "skylake-ept": firmware("memtest", MMU="ept"),
    "skylake-shadow": firmware("grub", "disk", "memtest", MMU="shadow"),
    "skylake-ept-without-unrestricted_guest": firmware(
        *ALL_FIRMWARE, MMU="ept", PARAMETERS="unrestricted_guest=0"
    ),
    "lynnfield-ept": firmware(*ALL_FIRMWARE, MMU="ept", CPU="corei5_lynnfield_750"),
    "penryn-shadow": firmware(
        "rom", "multiboot", "prompt", MMU="shadow", CPU="core2_penryn_t9600"
    ),
    "kvm": firmware(*ALL_FIRMWARE, DEV="/dev/kvm"),
}
MORE_CELLS += [
    Cell(f"firmware-{name}", "", selftests={}, commands=commands)
    for name, commands in FIRMWARE.items()
]

# Interrupts by messages and by lines.
MORE_CELLS += [
    Cell(
        "virtio",
        "",
        selftests={},
        commands={
            "ept_lines": virtio(MMU="ept", APPEND="pci=nomsi"),
            "shadow": virtio(MMU="shadow"),
            "shadow_lines": virtio(MMU="shadow", APPEND="pci=nomsi acpi=off"),
            "kvm": virtio(DEV="/dev/kvm"),
            "net_shadow": net(MMU="shadow"),
            "net_kvm": net(DEV="/dev/kvm"),
            "kvm_lines": virtio(DEV="/dev/kvm", APPEND="pci=nomsi acpi=off"),
            "vhost": vhost(MMU="ept"),
            "vhost_shadow": vhost(MMU="shadow"),
            "vhost_kvm": vhost(DEV="/dev/kvm"),
            "tap": vhost(MMU="ept", VHOST="off"),
            "tap_lines": vhost(MMU="ept", APPEND="pci=nomsi"),
        },
    )
]

# A 32-bit kernel: page tables of two levels, and PAE's.
MORE_CELLS += [
    Cell(
        "i386",
        "",
        selftests={},
        commands={
            "686": i386("686", "ept"),
            "686_shadow": i386("686", "shadow"),
            "686_penryn": i386("686", "shadow", CPU="core2_penryn_t9600"),
            "pae_smp": i386("686-pae", "ept", GUEST_CPUS="2"),
            "pae_shadow_smp": i386("686-pae", "shadow", GUEST_CPUS="2"),
            "pae_lynnfield": i386("686-pae", "ept", CPU="corei5_lynnfield_750"),
        },
    )
]

# Another client, also with PICs, PIT and I/O APIC of its own.
MORE_CELLS += [
    Cell(
        "client",
        "",
        selftests={},
        commands={
            "shadow": client(MMU="shadow"),
            "q35_split": client(MMU="ept", MACHINE="q35,kernel_irqchip=split"),
            "kvm": client(DEV="/dev/kvm"),
        },
    )
]

# The kernel's own selftests of KVM. On KVM dirty_log_test takes longer than all the others.
MORE_CELLS += [
    Cell(
        "kselftests",
        "",
        selftests={},
        commands={
            "ept": kselftests(MMU="ept"),
            "shadow": kselftests(MMU="shadow"),
            "kvm": kselftests("[!d]*", "de*", "dirty_log_perf*", DEV="/dev/kvm"),
        },
    )
]

# A machine is saved, killed, and restored in the other MMU mode, and back.
MORE_CELLS += [
    Cell(
        "snapshot",
        "",
        selftests={},
        commands={mmu: snapshot(MMU=mmu) for mmu in ("ept", "shadow")},
    )
]

# What `make check-debug` runs. An exit takes 5 to 10 times as long on the debug kernel, so what
# makes very many of them stays out.
NOT_TOO_LONG = {"guests": ["[!p]*", "pic.*", "paging[!m]*"], "lifetime": ["[!a]*"], "faults": []}
AND_LEAKS = ("eventfd", "hostmem", "lifetime")
OF_THE_MMU = ("dirtylog", "failure", "hostile", "hostmem", "isolation", "memory", "mmio", "system", "vcpu")
DEBUG_CELLS = [
    Cell("debug-ept", "corei7_haswell_4770", kernel="debug", partly=NOT_TOO_LONG, leaks=AND_LEAKS),
    Cell(
        "debug-shadow",
        "corei7_haswell_4770",
        mmu="shadow",
        kernel="debug",
        selftests={name: [] for name in OF_THE_MMU} | NOT_TOO_LONG,
        leaks=AND_LEAKS,
    ),
    Cell("preempt-ept-2cpus", "corei7_haswell_4770", cpus=2, append="preempt=full"),
    Cell("preempt-shadow", "corei7_haswell_4770", mmu="shadow", append="preempt=full"),
]

# Every page table, checked again and again.
AUDITED = {name: [] for name in ("audit", "memory", "dirtylog", "isolation", "hostmem")}
AUDITED["guests"] = ["paging*"]
DEBUG_CELLS += [
    Cell(
        f"audit-{mmu}",
        "corei7_skylake_x",
        mmu,
        modules=["minivmm.ko,audit_every=64"],
        audit=True,
        selftests=AUDITED,
    )
    for mmu in ("ept", "shadow")
]
