# SPDX-License-Identifier: GPL-2.0
"""What the bench's rows are: in which order they are shown, what they mean, and what is aimed at.

A goal is the ratio to KVM. A floor is the row that has the host's own part of another one, which is
subtracted from both before they are compared.
"""

from dataclasses import dataclass

EXIT, MEMORY, SAME, LOAD = "exit", "memory", "same", "load"
GOALS = {EXIT: (0.5, 0.5), MEMORY: (0.4, 0.4), SAME: (1.0, 1.0), LOAD: (1.0, 0.8)}  # EPT, shadow


@dataclass
class Row:
    name: str
    what: str
    goal: str = EXIT
    floor: str = None
    chart: bool = False
    short: bool = False  # in the README's table


GROUPS = [
    (
        "Exits that stay in the kernel",
        [
            Row("cpuid", "CPUID", chart=True, short=True),
            Row("rdmsr_apic_base", "RDMSR of the APIC's base"),
            Row("wrmsr_tsc_aux", "WRMSR of TSC_AUX"),
            Row("cr0_write_am", "CR0.AM off or on"),
            Row("cr0_write_ts", "CR0.TS off or on: no exit in either", SAME),
            Row("cr4_write_pge", "CR4.PGE off or on: an exit in shadow mode"),
            Row("cr4_write_mce", "CR4.MCE off or on", chart=True),
            Row("cr8_write", "CR8, without a local APIC in the kernel"),
            Row("xsetbv", "XSETBV"),
            Row("wbinvd", "WBINVD"),
            Row("pause", "a PAUSE of a loop that waits"),
            Row("exception_ud", "#UD, to the guest's handler and back"),
            Row("external_interrupt", "a tick of the host's clock", floor="floor_of_an_interrupt"),
        ],
    ),
    (
        "Interrupt chips in the kernel",
        [
            Row("apic_read", "xAPIC: a read"),
            Row("apic_write_tpr", "xAPIC: the TPR"),
            Row("apic_eoi", "xAPIC: EOI", chart=True, short=True),
            Row("apic_icr_write", "xAPIC: the ICR, to nobody"),
            Row("apic_timer_read", "xAPIC: the timer's count"),
            Row("self_ipi", "xAPIC: an IPI to itself, with handler and EOI"),
            Row("x2apic_self_ipi", "x2APIC: a self-IPI, interrupts off"),
            Row("x2apic_icr_write", "x2APIC: the ICR, to nobody"),
            Row("x2apic_eoi", "x2APIC: EOI"),
            Row("x2apic_read", "x2APIC: a read"),
            Row("x2apic_timer_interrupt", "x2APIC: the timer, from count to interrupt's end"),
            Row("pit_read", "IN from the PIT"),
            Row("ioeventfd_port", "OUT to an eventfd", chart=True),
            Row("ioeventfd_mmio", "a store to an eventfd", chart=True),
        ],
    ),
    (
        "Wake-ups and interrupts between threads",
        [
            Row("irqfd_wakes_a_guest", "irqfd to a halted vCPU, which answers by an ioeventfd",
                floor="floor_of_a_wakeup", chart=True, short=True),
            Row("ipi_wakes_a_vcpu", "IPI to a halted vCPU, which answers by another",
                floor="floor_of_a_wakeup", chart=True),
            Row("signal_kick_of_a_halted_vcpu", "a signal to a halted vCPU, to RUN's return"),
            Row("irqfd_to_a_running_guest", "irqfd to a running vCPU, to what its handler writes",
                floor="floor_of_an_ipi"),
            Row("ipi_between_running_vcpus", "IPI to a running vCPU, to what its handler writes",
                floor="floor_of_an_ipi"),
            Row("floor_of_an_interrupt", "floor: a tick of the host's clock in a program", None),
            Row("floor_of_a_wakeup", "floor: two threads and two eventfds, there and back", None),
            Row("floor_of_an_ipi", "floor: membarrier(), an IPI to the other CPU", None),
            Row("floor_of_a_cache_line", "floor: a word of memory, there and back", None),
        ],
    ),
    (
        "Exits to the client and back",
        [
            Row("port_write", "OUT", chart=True, short=True),
            Row("port_read", "IN"),
            Row("rep_outsb_4k", "REP OUTSB of 4 KiB"),
            Row("rep_insb_4k", "REP INSB of 4 KiB", chart=True),
            Row("mmio_write", "a store to a device", chart=True, short=True),
            Row("mmio_read", "a load from a device", chart=True),
            Row("hlt", "HLT, without a local APIC in the kernel"),
            Row("interrupt", "INTERRUPT, the guest's handler, HLT"),
            Row("floor_of_an_ioctl", "floor: the system call, GET_API_VERSION", None),
            Row("run_immediate_exit", "RUN with immediate_exit"),
            Row("get_and_set_regs", "GET_REGS and SET_REGS"),
            Row("get_and_set_sregs", "GET_SREGS and SET_SREGS"),
        ],
    ),
    (
        "Memory that the host gives",
        [
            Row("touch_4k_populated", "first touch of a page that the client has touched", MEMORY,
                chart=True, short=True),
            Row("touch_4k_new", "first touch of a page that is new to the host, too", MEMORY),
            Row("touch_4k_again", "second touch", SAME),
            Row("touch_2m_populated", "first touch of 2 MiB that are there", MEMORY, chart=True),
            Row("touch_2m_new", "first touch of 2 MiB that are new, too", MEMORY),
            Row("dontneed_and_touch_2_pages", "madvise(DONTNEED) of 2 pages, one touched again",
                MEMORY),
            Row("slot_create_and_delete", "a slot of 2 MiB made and deleted", MEMORY),
            Row("dirty_log_cycle_of_1g", "1 GiB, logged: 1 % written, GET_DIRTY_LOG", MEMORY,
                chart=True),
        ],
    ),
    (
        "The guest's own paging (in EPT mode without an exit)",
        [
            Row("cr3_switch_of_2_and_8_pages", "CR3 switch among 2 spaces, 8 pages read", MEMORY),
            Row("cr3_switch_of_8_and_8_pages", "CR3 switch among 8 spaces, 8 pages read", MEMORY),
            Row("cr3_switch_of_64_and_8_pages", "CR3 switch among 64 spaces, 8 pages read", MEMORY, chart=True),
            Row("map_touch_unmap_page", "a page mapped, written, unmapped, INVLPG", MEMORY, chart=True, short=True),
            Row("demand_fault", "a page fault whose handler maps the page", MEMORY, chart=True, short=True),
            Row("demand_fault_of_a_new_page", "the same, of a page not used before", MEMORY),
            Row("fill_512_ptes_touch_clear", "512 entries filled, read through, cleared; CR3", MEMORY,
                chart=True),
            Row("fork_512_ptes_and_write_64", "512 entries lose W, 64 pages written", MEMORY,
                chart=True),
            Row("teardown_of_512_ptes", "a table filled, used, cleared, becomes data", MEMORY,
                chart=True),
            Row("mprotect_and_write_page", "W taken from a page and given back, INVLPG each", MEMORY,
                chart=True),
        ],
    ),
    (
        "A virtual machine's life",
        [
            Row("life_of_a_vm", "a VM and a vCPU, made and destroyed"),
            Row("life_of_a_vm_with_2m", "a VM with a slot of 2 MiB and a vCPU"),
            Row("life_of_a_vm_that_runs", "a VM and a vCPU, made, run and destroyed", chart=True, short=True),
            Row("life_of_a_vm_waiting", "of life_of_a_vm: nothing ran", None),
            Row("life_of_a_vm_with_2m_waiting", "likewise", None),
            Row("life_of_a_vm_that_runs_waiting", "likewise", None),
            Row("life_with_unloading", "many VMs' lives up to a finished rmmod, each"),
        ],
    ),
    (
        "Memory of the host's kernel, in bytes",
        [
            Row("bytes_of_a_vm", "a VM with a slot of 2 MiB and a vCPU that has run"),
            Row("bytes_to_map_64m", "a slot of 64 MiB, all touched in pages of 4 KiB"),
        ],
    ),
    (
        "Debian's kernel in a guest of 192 MB",
        [
            Row("debian_boots", "Debian: from the vCPU's creation to /init", LOAD, chart=True, short=True),
            Row("debian_fork_and_exec_100", "Debian: 100 × fork and exec", LOAD, chart=True, short=True),
            Row("debian_pipe_ping_pong_1000", "Debian: 1000 × a byte there and back by pipes", LOAD,
                chart=True),
            Row("debian_mmap_64_pages_500", "Debian: 500 × mmap, 64 pages written, munmap", LOAD, chart=True),
            Row("debian_copy_16m", "Debian: 16 MiB copied from file to file in RAM", LOAD, chart=True),
        ],
    ),
    (
        "vmrun, and its devices (Debian's kernel in a guest with a virtio disk and the user network)",
        [
            Row("blk_read_4k", "4 KiB read from the disk (O_DIRECT), one after another", SAME, chart=True, short=True),
            Row("blk_write_4k", "4 KiB written to it", SAME, chart=True),
            Row("blk_flush", "the disk flushed (fdatasync)", SAME),
            Row("net_ping", "a ping to the gateway, and its answer", SAME, chart=True, short=True),
            Row("net_udp_echo", "a datagram to a server on the host, and its answer", SAME, chart=True),
            Row("start_to_first_instruction", "vmrun: from execve to the guest's first instruction",
                SAME, chart=True, short=True),
            Row("bytes_of_vmrun", "vmrun's private memory, in bytes, without the guest's RAM", SAME),
        ],
    ),
    (
        "Emulation, where the CPU can't run the guest",
        [Row("real_mode_instruction", "an instruction of real mode; KVM without EPT has the CPU's "
             "virtual-8086 mode", None)],
    ),
]

CPU = "corei7_skylake_x"
# These need two CPUs, or XSAVE, and are measured on another machine.
ELSEWHERE = ["xsetbv", "irqfd_to_a_running_guest", "ipi_between_running_vcpus", "floor_of_an_ipi",
             "floor_of_a_cache_line"]
ELSEWHERE_CPU = "corei7_haswell_4770"
LOADS = [row.name for _, rows in GROUPS for row in rows if row.goal == LOAD]
MACHINE = [row.name for title, rows in GROUPS for row in rows if title.startswith("vmrun")]
# Those that need a guest with Debian's kernel, by the session's functions that run it.
GUESTS = {"debian": LOADS, "machine": MACHINE}
