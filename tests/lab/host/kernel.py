# SPDX-License-Identifier: GPL-2.0
"""The kernels that Debian installed: which to boot, its ELF image, and its modules."""

import glob
import lzma
import os
import re
import struct
import subprocess
import tempfile
import zlib

from host import debugkernel
from host.errors import LabError

MODULES = "/lib/modules"


class Kernel:
    def __init__(self, version, image, modules=None, headers=None):
        self.version = version
        self.image = image
        self.modules = modules or f"{MODULES}/{version}"
        self.headers = headers or f"{MODULES}/{version}/build"


def version_order(version):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", version)]


def default_version():
    """This machine's kernel if the headers to build modules for it are installed; else the newest
    that is installed together with its headers."""
    versions = [
        os.path.basename(path)
        for path in glob.glob(f"{MODULES}/*")
        if os.path.exists(f"{path}/build/Makefile")
        and os.path.exists(f"/boot/vmlinuz-{os.path.basename(path)}")
    ]
    if not versions:
        raise LabError("no kernel is installed together with its headers (`make deps` does that)")
    if os.uname().release in versions:
        return os.uname().release
    plain = [version for version in versions if "cloud" not in version and "-rt-" not in version]
    return max(plain or versions, key=version_order)


def find(wanted=None):
    """A kernel by version, by the path of its vmlinuz, or the debug kernel; by default Debian's."""
    if wanted == debugkernel.NAME:
        directory = debugkernel.directory()
        image = f"{directory}/vmlinuz"
        version = image_version(image)
        return Kernel(version, image, f"{directory}/lib/modules/{version}", f"{directory}/headers")
    if wanted and "/" in wanted:
        image = os.path.realpath(wanted)
        version = image_version(image)
    else:
        version = wanted or default_version()
        image = f"/boot/vmlinuz-{version}"
    if not os.path.exists(image):
        raise LabError(f"there is no kernel {image}")
    return Kernel(version, image)


def image_version(path):
    """The version that a bzImage states in its header."""
    try:
        with open(path, "rb") as f:
            head = f.read(0x8000)
    except OSError as error:
        raise LabError(f"cannot read the kernel {path}: {error.strerror}") from error
    if head[0x202:0x206] != b"HdrS":
        raise LabError(f"{path} is not a Linux bzImage")
    offset = struct.unpack_from("<H", head, 0x20E)[0] + 0x200
    return head[offset : head.index(b"\0", offset)].split()[0].decode()


def decompress(image):
    """The ELF image (vmlinux) inside a bzImage's bytes."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    payload = image[start : start + length]
    if payload.startswith(b"\xfd7zXZ"):
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        elf = zlib.decompressobj(31).decompress(payload)
    elif payload.startswith(b"\x02\x21\x4c\x18"):
        # Four bytes behind the stream say how long it becomes.
        elf = subprocess.run(
            ["lz4", "-d", "-l", "-c"],
            input=payload[:-4],
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        elf = subprocess.run(
            ["zstd", "-d", "-q", "-c"],
            input=payload,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ).stdout
    else:
        raise LabError(
            f"the kernel is compressed in a way that the lab doesn't know ({payload[:4].hex()})"
        )
    if not elf.startswith(b"\x7fELF"):
        raise LabError("the kernel's payload is not an ELF image")
    return elf


def module_files(chosen, name):
    """The files to insert for a module of this kernel, those it depends on first."""
    directory = chosen.modules
    wanted = name.replace("-", "_")
    try:
        with open(f"{directory}/modules.dep", encoding="utf-8") as f:
            lines = f.read().splitlines()
    except OSError as error:
        raise LabError(
            f"cannot read the list of modules of kernel {chosen.version}: {error.strerror}"
        ) from error
    for line in lines:
        path, _, needs = line.partition(":")
        if module_name(path) == wanted:
            return [f"{directory}/{p}" for p in reversed(needs.split())] + [f"{directory}/{path}"]
    raise LabError(f"kernel {chosen.version} has no module {name}")


def module_name(path):
    """The name that a module's file (with or without parameters behind) has in the kernel."""
    return os.path.basename(path).partition(".")[0].replace("-", "_")


def stripped_module(path, symbols=True):
    """A module's bytes without debugging information and signature, for a fast insertion. Without
    its local symbols it is faster still (the kernel looks each function up in a list of them), but
    its functions have no names in a trace."""
    strip = "--strip-debug" if symbols else "--strip-unneeded"
    with tempfile.TemporaryDirectory() as directory:
        module = f"{directory}/module"
        with open(path, "rb") as original, open(module, "wb") as f:
            data = original.read()
            f.write(lzma.decompress(data) if path.endswith(".xz") else data)
        done = subprocess.run(
            ["objcopy", strip, "--remove-section=.BTF", module],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise LabError(f"{path} is not a module: {done.stderr.strip()}")
        with open(module, "rb") as f:
            return f.read()
