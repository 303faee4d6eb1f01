# SPDX-License-Identifier: GPL-2.0
"""Snapshots of booted lab machines, and how Bochs is told to restore one with a run's payload.

Boot: Bochs runs the image that bootimage.py lays out until guest/init writes to the debugger's
port; bochs/hook.c saves the state there. Pack: RAM goes into a file of its own, in the order in
which Bochs's RAM vector will hold it, because loading such a file ("optramimage") takes a tenth of
the time of Bochs's own restore. The payload's blocks come second in it, so that a run's payload is
simply another such file, loaded over them."""

import os
import re
import shutil
import subprocess
import sys

from host import bootimage, image, kernel, store, tools
from host.bootimage import BLOCK
from host.errors import LabError
from host.machine import WRONG_TSC_FREQUENCY

BOCHS = "/usr/bin/bochs-bin"
BIOS = "/usr/share/bochs/BIOS-bochs-latest"
VGA_BIOS = "/usr/share/vgabios/vgabios.bin"
BOOT_SECONDS = 1200  # a cold boot takes 5 to 15; the debug kernel's, on a busy machine, minutes

# Bochs saves this list in another order than it registered the devices in, but restores their
# timers by index. So the same order is dictated both times.
PLUGINS = (
    "plugin_ctrl: biosdev=true, iodebug=true, parallel=true, gameport=false, extfpuirq=true, "
    "speaker=false, serial=true, unmapped=true, usb_uhci=true"
)


def bochs_config(machine):
    return f"""{PLUGINS}
config_interface: textconfig
display_library: rfb, options="timeout=0"
memory: guest={machine.memory_mb}, host={min(machine.memory_mb, 2048)}
romimage: file={BIOS}
vgaromimage: file={VGA_BIOS}
vga: extension=vbe, update_freq=1, realtime=0
cpu: model={machine.model}, count={machine.cpus}, ips={machine.ips}, reset_on_triple_fault=0
clock: sync=none, time0=1700000000
boot: disk
ata0: enabled=0
ata1: enabled=0
mouse: enabled=0
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
port_e9_hack: enabled=1
log: bochs.log
panic: action=fatal
com1: enabled=1, mode=file, dev=console
parport1: enabled=1, file=output
parport2: enabled=1, file=records
"""


def payload_size(data):
    """The size of the region, in MB, that a snapshot must offer for this payload."""
    megabytes = 32
    while megabytes << 20 < len(data):
        megabytes *= 2
    return megabytes


def command_line(machine, region):
    words = [f"lab.payload={region[0] >> 20},{region[1] >> 20}", "tsc=reliable"]
    if machine.model in WRONG_TSC_FREQUENCY:
        words.append(f"tsc_early_khz={machine.ips // 1000}")
    return machine.command_line(*words)


def restorable(machine, payload_mb, fresh=False):
    """A cache entry with the snapshot of this machine."""
    region = bootimage.payload_region(machine.memory_mb, payload_mb)
    arguments = command_line(machine, region)
    name = store.key(
        bochs_config(machine),
        arguments,
        image.base_key(machine),
        ("file", machine.kernel.image),
        ("file", BOCHS),
        ("file", BIOS),
        *store.source("bochs/stub.S", "bochs/hook.c", "host/bootimage.py", "host/snapshot.py"),
    )

    def build(directory):
        check_model(machine.model)
        print(
            f"lab: booting {machine.cpus} × {machine.model}, {machine.memory_mb} MB, for a snapshot",
            file=sys.stderr,
            flush=True,
        )
        boot_and_save(machine, arguments, region, directory)
        pack(directory, region)

    return store.entry("snapshot", name, build, fresh)


def check_model(model):
    listed = subprocess.run(
        [BOCHS, "--help", "cpu"],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout
    if model not in listed.split():
        models = re.findall(r"^\w+$", listed, re.M)
        raise LabError(f"Bochs has no CPU model {model}; those it has: {', '.join(models)}")


def boot_and_save(machine, arguments, region, directory):
    boot = os.path.join(directory, "boot")
    os.mkdir(boot)
    with tools.bochs_tools() as helpers, vmlinux(machine.kernel) as elf:
        bootimage.write(
            f"{boot}/image",
            image.read(machine.kernel.image),
            image.read(f"{elf}/vmlinux"),
            image.base_initramfs(machine),
            arguments,
            machine.memory_mb,
            region,
        )
        write(f"{boot}/boot.rom", option_rom(image.read(f"{helpers}/stub.bin")))
        config = bochs_config(machine) + (
            f"optromimage1: file=boot.rom, address=0xd0000\n"
            f"optramimage1: file=image, address={bootimage.SPARE:#x}\n"
        )
        write(f"{boot}/bochsrc", config.encode())
        try:
            ran = subprocess.run(
                bochs_command("-f", "bochsrc"),
                cwd=boot,
                env=hooked(helpers, LAB_SAVE=directory),
                check=False,
                stdin=answers(boot),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=BOOT_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(
                f"the lab's kernel has not booted in {BOOT_SECONDS} s\n{boot_report(boot, b'')}"
            ) from error
    if b"hook: saved" not in ran.stdout:
        how = f", Bochs was killed by signal {-ran.returncode}" if ran.returncode < 0 else ""
        raise LabError(f"the lab's kernel did not boot{how}\n{boot_report(boot, ran.stdout)}")
    shutil.rmtree(boot)


def boot_report(boot, said):
    """What a failed boot left behind: the console's tail, else what Bochs said last."""
    console = (
        image.read(f"{boot}/console").decode(errors="replace")
        if os.path.exists(f"{boot}/console")
        else ""
    )
    text = console.strip() or said.replace(b"\0", b"").decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-15:])


def vmlinux(chosen):
    """A cache entry with the kernel's decompressed image."""
    return store.entry(
        "vmlinux",
        store.key(("file", chosen.image)),
        lambda directory: write(
            f"{directory}/vmlinux", kernel.decompress(image.read(chosen.image))
        ),
    )


def option_rom(code):
    """The loader with the checksum that the BIOS asks for."""
    return code[:-1] + bytes([-sum(code[:-1]) & 0xFF])


def bochs_command(*arguments):
    """Bochs in a network namespace of its own: its screen is a VNC server for all the world."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--net", *as_root, "setpriv", "--pdeathsig", "KILL", BOCHS, "-q", *arguments]


def hooked(helpers, **variables):
    """The environment in which bochs/hook.c answers the debugger."""
    return {
        **os.environ,
        "LD_PRELOAD": f"{helpers}/hook.so",
        **{name: str(v) for name, v in variables.items()},
    }


def answers(directory):
    """What Bochs reads from its stdin. It asks what to do about an error in its configuration, and
    takes no answer as "go on"."""
    write(f"{directory}/answers", b"die\n")
    return open(f"{directory}/answers", "rb")


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def pack(directory, region):
    """Turns a state as Bochs saved it into one that restores fast. `memory` says which slot of the
    RAM vector each block of guest memory has; slots are dealt anew, the payload's from 1 on."""
    text = image.read(f"{directory}/memory").decode()
    slot_of = {int(block): int(slot) for block, slot in re.findall(r"blk(\d+) = (-?\d+)", text)}
    used = {block for block, slot in slot_of.items() if 0 <= slot < 1 << 31}
    payload = range(region[0] // BLOCK, (region[0] + region[1]) // BLOCK)
    if not used.issuperset(payload):
        raise LabError("the boot loader did not touch the payload's memory")
    write(f"{directory}/symbols", payload_text(directory, region[0]))
    others = sorted(used.difference(payload))
    order = [others[0], *payload, *others[1:]]
    slots = {block: slot for slot, block in enumerate(order)}

    write_ram(directory, order, set(payload))
    text = re.sub(
        r"blk(\d+) = (-?\d+)",
        lambda m: f"blk{m[1]} = {slots[int(m[1])]}" if int(m[1]) in slots else m[0],
        text,
    )
    text = re.sub(r"used_blocks = \d+", f"used_blocks = {len(order)}", text)
    write(f"{directory}/memory", text.encode())
    for emptied in (
        "memory.ram",
        "vga.vgacore.memory",
    ):  # Bochs takes the end of a file as "unchanged"
        write(f"{directory}/{emptied}", b"")


def payload_text(directory, address):
    """What guest/init left in the payload's memory: text up to a zero byte."""
    with open(f"{directory}/memory.ram", "rb") as ram:
        ram.seek(address)
        return b"".join(iter(lambda: ram.read(4096).partition(b"\0")[0], b""))


def write_ram(directory, order, payload):
    """ram.img: the blocks in their new order, sparse where zero or where the payload will be."""
    with open(f"{directory}/memory.ram", "rb") as saved, open(f"{directory}/ram.img", "wb") as ram:
        for slot, block in enumerate(order):
            saved.seek(block * BLOCK)
            data = saved.read(BLOCK)
            if block not in payload and data.count(0) != len(data):
                ram.seek(slot * BLOCK)
                ram.write(data)
        ram.truncate(len(order) * BLOCK)


# What a run chooses anew in a restored machine's configuration.
CHOSEN_BY_RUN = ("plugin_ctrl:", "optromimage", "optramimage", "com1:", "parport", "log:")


def prepare_restore(snapshot, directory, payload, com1):
    """Fills a run's directory: `bochs -r state` there restores the snapshot with this payload."""
    state = os.path.join(directory, "state")
    os.mkdir(state)
    for name in os.listdir(snapshot):
        if name not in ("config", "ram.img", "symbols"):
            os.symlink(os.path.join(snapshot, name), os.path.join(state, name))
    write(f"{directory}/payload", payload)
    saved = image.read(f"{snapshot}/config").decode().splitlines()
    lines = [line for line in saved if not line.startswith(CHOSEN_BY_RUN)]
    lines = [
        PLUGINS,
        *lines,
        "log: bochs.log",
        f"com1: enabled=1, {com1}",
        "parport1: enabled=1, file=output",
        "parport2: enabled=1, file=records",
        f'optramimage1: file="{snapshot}/ram.img", address=0x0',
        f'optramimage2: file="{directory}/payload", address={8 * BLOCK:#x}',
    ]
    write(f"{state}/config", ("\n".join(lines) + "\n").encode())
