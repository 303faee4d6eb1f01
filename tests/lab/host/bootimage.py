# SPDX-License-Identifier: GPL-2.0
"""Lays out a booting machine's memory for Bochs: kernel, initramfs and what Linux's 64-bit boot
protocol wants, in the form that bochs/stub.S puts in place. Read the comment there first."""

import struct

from host.errors import LabError

BLOCK = 0x20000  # Bochs allocates guest memory in blocks of this size
HEADER = 0x00800000  # stub.S: HEADER
INITRD = 0x05000000
SPARE = 0x0A000000  # where Bochs is told to load the file: its first block
SPARE_BLOCKS = 64  # more than the BIOS touches before the stub runs

# offsets in the header block, known to stub.S too
RANGES = 16
BOOT_PARAMS = 0x1000
COMMAND_LINE = 0x2000
PAGE_TABLES = 0x4000  # PML4, PDPT, four page directories: 4 GiB mapped 1:1
HEADER_USED = 0xA000

RAM, RESERVED, ACPI = 1, 2, 3

MIN_MEMORY = 256
MAX_MEMORY = 3072  # the PCI hole begins behind it


def blocks(size):
    return -(-size // BLOCK)


def padded(data):
    return bytes(data) + bytes(-len(data) % BLOCK)


def payload_region(memory_mb, payload_mb):
    """Where a run's payload lies: near the end of memory, address and size."""
    if not MIN_MEMORY <= memory_mb <= MAX_MEMORY:
        raise LabError(
            f"the lab on Bochs has {MIN_MEMORY} to {MAX_MEMORY} MB of memory, not {memory_mb}"
        )
    size = payload_mb << 20
    address = ((memory_mb - 16) << 20) - size
    if address < SPARE + SPARE_BLOCKS * BLOCK:
        raise LabError(f"{memory_mb} MB of memory is too little for {payload_mb} MB of files")
    return address, size


def kernel_segments(elf):
    """(load address, bytes up to the end of .bss, entry) of a vmlinux."""
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    count = struct.unpack_from("<H", elf, 56)[0]
    segments = []
    for i in range(count):
        kind, _, offset, _, address, in_file, in_memory, _ = struct.unpack_from(
            "<IIQQQQQQ", elf, headers + 56 * i
        )
        if kind == 1:  # PT_LOAD
            segments.append((address, elf[offset : offset + in_file], in_memory))
    low = min(address for address, _, _ in segments)
    high = max(address + in_memory for address, _, in_memory in segments)
    memory = bytearray(high - low)
    for address, data, _ in segments:
        memory[address - low : address - low + len(data)] = data
    if low % BLOCK or low + len(memory) > INITRD:
        raise LabError("the kernel does not fit where the lab loads it")
    return low, padded(memory), entry


def memory_map(memory_mb, payload):
    """The e820 map: Bochs's BIOS keeps its ACPI tables in the last 64 KiB."""
    address, size = payload
    top = memory_mb << 20
    return [
        (0, 0x9F000, RAM),
        (0x9F000, 0x1000, RESERVED),
        (0xE8000, 0x18000, RESERVED),
        (0x100000, address - 0x100000, RAM),
        (address, size, RESERVED),
        (address + size, top - 0x10000 - address - size, RAM),
        (top - 0x10000, 0x10000, ACPI),
        (0xFFFC0000, 0x40000, RESERVED),
    ]


def boot_params(bzimage, initrd_size, e820, base=0):
    """Linux's struct boot_params: the bzImage's setup header, and what a loader fills in. All lies
    `base` bytes higher than it would usually."""
    params = bytearray(0x1000)
    end = 0x202 + bzimage[0x201]
    params[0x1F1:end] = bzimage[0x1F1:end]
    params[0x210] = 0xFF  # type_of_loader: none of the known
    params[0x211] = (params[0x211] | 0x01) & ~0x02  # loadflags: loaded high, KASLR off
    struct.pack_into("<II", params, 0x218, base + INITRD, initrd_size)  # ramdisk
    struct.pack_into("<I", params, 0x228, base + HEADER + COMMAND_LINE)  # cmd_line_ptr
    params[0x1E8] = len(e820)
    for i, entry in enumerate(e820):
        struct.pack_into("<QQI", params, 0x2D0 + 20 * i, *entry)
    return params


def page_tables():
    """PML4, PDPT and four directories of 2 MiB pages that map the first 4 GiB 1:1."""
    base = HEADER + PAGE_TABLES
    tables = bytearray(6 * 4096)
    struct.pack_into("<Q", tables, 0, (base + 4096) | 3)
    for gigabyte in range(4):
        struct.pack_into("<Q", tables, 4096 + 8 * gigabyte, (base + (2 + gigabyte) * 4096) | 3)
    for page in range(4 * 512):
        struct.pack_into("<Q", tables, 2 * 4096 + 8 * page, (page << 21) | 0x83)
    return tables


def write(path, bzimage, elf, initrd, command_line, memory_mb, payload):
    """Writes the file that Bochs loads at SPARE. `payload`: the region to reserve, touched last."""
    low, kernel, entry = kernel_segments(elf)
    if len(initrd) > SPARE - INITRD:
        raise LabError("the lab's own initramfs is too large")
    ranges = [(low, kernel), (INITRD, padded(initrd))]

    header = bytearray(BLOCK)
    struct.pack_into("<4sII", header, 0, b"LDRD", len(ranges) + 1, entry)
    for i, (address, data) in enumerate(ranges):
        first, last = data[:4], data[-4:]
        struct.pack_into(
            "<II4s4s", header, RANGES + 16 * i, address, blocks(len(data)), first, last
        )
    struct.pack_into(
        "<IIII", header, RANGES + 16 * len(ranges), payload[0], blocks(payload[1]), 0, 0
    )
    params = boot_params(bzimage, len(initrd), memory_map(memory_mb, payload))
    header[BOOT_PARAMS : BOOT_PARAMS + len(params)] = params
    encoded = command_line.encode() + b"\0"
    if len(encoded) > PAGE_TABLES - COMMAND_LINE:
        raise LabError("the kernel's command line is too long")
    header[COMMAND_LINE : COMMAND_LINE + len(encoded)] = encoded
    header[PAGE_TABLES:HEADER_USED] = page_tables()

    with open(path, "wb") as f:
        for i in range(SPARE_BLOCKS):
            f.seek(i * BLOCK)
            f.write(b"LAST" if i == SPARE_BLOCKS - 1 else b"USED")
        f.seek(SPARE_BLOCKS * BLOCK)
        for part in (header, *(data for _, data in ranges)):
            f.write(part)
        f.truncate(f.tell() + payload[1])
