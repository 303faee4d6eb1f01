// SPDX-License-Identifier: GPL-2.0
/*
 * minilab: the lab's own kernel module, the inside end of its wires.
 *
 * - /dev/lab0 and /dev/lab1 are the two parallel ports, as terminals. A write is on the host when
 *   it returns, whatever happens next, and costs a few instructions per byte: the output of a
 *   command (lab0) and the lab's own records (lab1) survive a crash right behind them.
 * - Writing to the parameter "stop" hands the emulated machine to Bochs's debugger, which takes a
 *   snapshot or ends the run; QEMU ends there.
 * - A panic is recorded on lab1, then stops the machine.
 * - "heartbeat" turns the idle PIT into a periodic NMI. Bochs 2.7 masks external interrupts after
 *   a VM entry with RFLAGS.IF=0, so that a guest that spins there would hang the whole machine;
 *   NMIs still exit. Needs the kernel option "nohpet": the HPET would take the PIT's place.
 * - Reading "vmxe" tells which CPUs are in VMX operation.
 * - Reading "tsc" gives the time stamp counter: in Bochs, instructions executed.
 */
#include <linux/cpuhotplug.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/panic_notifier.h>
#include <linux/stop_machine.h>
#include <linux/timex.h>
#include <linux/tty.h>
#include <linux/tty_driver.h>
#include <asm/apicdef.h>
#include <asm/nmi.h>
#include <asm/tlbflush.h>

#define NR_PORTS		2

/* Parallel port: data at the base, control two above; a strobe's rising edge sends the byte. */
static const u16 port_base[NR_PORTS] = { 0x378, 0x278 };
#define CONTROL_READY		0x0c	/* printer initialised and selected */
#define CONTROL_STROBE		0x01

#define BOCHS_DEBUG_PORT	0x8a00
#define BOCHS_DEBUG_ENABLE	0x8a00
#define BOCHS_DEBUG_PROMPT	0x8ae0
#define QEMU_EXIT_PORT		0x501

#define PIT_MODE		0x43
#define PIT_CHANNEL0		0x40
#define PIT_RATE_GENERATOR	0x34	/* channel 0, both bytes, mode 2 */
#define PIT_HZ			1193182

#define IOAPIC_BASE		0xfec00000
#define IOAPIC_INDEX		0x00
#define IOAPIC_DATA		0x10
#define IOAPIC_PIT_ENTRY	(0x10 + 2 * 2)	/* ISA interrupt 0 arrives at pin 2 */
#define IOAPIC_MASKED		BIT(16)
#define IOAPIC_TO_ALL		(0xffu << 24)

static DEFINE_RAW_SPINLOCK(port_lock);
static struct tty_driver *driver;
static struct tty_port output, records;
static struct tty_port *const tty_ports[NR_PORTS] = { &output, &records };

static void send(unsigned int port, const char *text, size_t count)
{
	u16 data = port_base[port], control = data + 2;
	unsigned long flags;

	raw_spin_lock_irqsave(&port_lock, flags);
	while (count--) {
		outb(*text++, data);
		outb(CONTROL_READY | CONTROL_STROBE, control);
		outb(CONTROL_READY, control);
	}
	raw_spin_unlock_irqrestore(&port_lock, flags);
}

static void leave_to_the_host(void)
{
	outw(BOCHS_DEBUG_ENABLE, BOCHS_DEBUG_PORT);
	outw(BOCHS_DEBUG_PROMPT, BOCHS_DEBUG_PORT);
	outb(0, QEMU_EXIT_PORT);
}

static int lab_open(struct tty_struct *tty, struct file *file)
{
	return tty_port_open(tty_ports[tty->index], tty, file);
}

static void lab_close(struct tty_struct *tty, struct file *file)
{
	tty_port_close(tty_ports[tty->index], tty, file);
}

static int lab_write(struct tty_struct *tty, const unsigned char *text, int count)
{
	send(tty->index, text, count);
	return count;
}

static unsigned int lab_write_room(struct tty_struct *tty)
{
	return PAGE_SIZE;
}

static const struct tty_operations lab_tty_ops = {
	.open = lab_open,
	.close = lab_close,
	.write = lab_write,
	.write_room = lab_write_room,
};

static const struct tty_port_operations lab_port_ops = { };

static int panic_recorded(struct notifier_block *block, unsigned long event, void *message)
{
	static const char record[] = "panic ";

	send(1, record, sizeof(record) - 1);
	send(1, message, strlen(message));
	send(1, "\n", 1);
	leave_to_the_host();
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = { .notifier_call = panic_recorded };

static int heartbeat_nmi(unsigned int type, struct pt_regs *regs)
{
	return NMI_HANDLED;
}

static unsigned int heartbeat;
static void __iomem *ioapic;

static int route_pit(void *unused)
{
	unsigned int latch = heartbeat ? PIT_HZ / heartbeat : 0;

	outb(PIT_RATE_GENERATOR, PIT_MODE);
	outb(latch & 0xff, PIT_CHANNEL0);
	outb(latch >> 8, PIT_CHANNEL0);

	writel(IOAPIC_PIT_ENTRY + 1, ioapic + IOAPIC_INDEX);
	writel(IOAPIC_TO_ALL, ioapic + IOAPIC_DATA);
	writel(IOAPIC_PIT_ENTRY, ioapic + IOAPIC_INDEX);
	writel(heartbeat ? APIC_DM_NMI : IOAPIC_MASKED, ioapic + IOAPIC_DATA);
	return 0;
}

static int set_heartbeat(const char *value, const struct kernel_param *param)
{
	unsigned int hz;
	int error = kstrtouint(value, 0, &hz);

	if (error)
		return error;
	if (hz && (hz < PIT_HZ / 0xffff + 1 || hz > 10000))
		return -ERANGE;
	ioapic = ioremap(IOAPIC_BASE, PAGE_SIZE);
	if (!ioapic)
		return -ENOMEM;
	heartbeat = hz;
	stop_machine(route_pit, NULL, NULL);
	iounmap(ioapic);
	return 0;
}

/*
 * A CPU that is being brought up can't take an NMI before it has an IDT: the heartbeat stops meanwhile.
 * CPU hotplug is serialised, and nothing else touches the I/O APIC then.
 */
static void mask_pit(bool masked)
{
	unsigned long flags;
	void __iomem *pins;

	if (!heartbeat)
		return;
	pins = ioremap(IOAPIC_BASE, PAGE_SIZE);
	if (!pins)
		return;
	local_irq_save(flags);
	writel(IOAPIC_PIT_ENTRY, pins + IOAPIC_INDEX);
	writel(masked ? IOAPIC_MASKED : APIC_DM_NMI, pins + IOAPIC_DATA);
	local_irq_restore(flags);
	iounmap(pins);
}

static int cpu_will_start(unsigned int cpu)
{
	mask_pit(true);
	return 0;
}

static int cpu_started(unsigned int cpu)
{
	mask_pit(false);
	return 0;
}

static const struct kernel_param_ops heartbeat_ops = {
	.set = set_heartbeat,
	.get = param_get_uint,
};
module_param_cb(heartbeat, &heartbeat_ops, &heartbeat, 0600);
MODULE_PARM_DESC(heartbeat, "NMIs per second from the PIT, 0 for none");

static int set_stop(const char *value, const struct kernel_param *param)
{
	leave_to_the_host();
	return 0;
}

static const struct kernel_param_ops stop_ops = { .set = set_stop };
module_param_cb(stop, &stop_ops, NULL, 0200);
MODULE_PARM_DESC(stop, "written: leave to the emulator");

static int get_tsc(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%llu\n", rdtsc());
}

static const struct kernel_param_ops tsc_ops = { .get = get_tsc };
module_param_cb(tsc, &tsc_ops, NULL, 0400);
MODULE_PARM_DESC(tsc, "read: the time stamp counter");

static void note_vmxe(void *text)
{
	((char *)text)[smp_processor_id()] = cr4_read_shadow() & X86_CR4_VMXE ? '1' : '0';
}

static int get_vmxe(char *buffer, const struct kernel_param *param)
{
	memset(buffer, '-', nr_cpu_ids);
	on_each_cpu(note_vmxe, buffer, 1);
	return nr_cpu_ids + sysfs_emit_at(buffer, nr_cpu_ids, "\n");
}

static const struct kernel_param_ops vmxe_ops = { .get = get_vmxe };
module_param_cb(vmxe, &vmxe_ops, NULL, 0400);
MODULE_PARM_DESC(vmxe, "read: a digit for each CPU, whether it is in VMX operation");

static int __init register_ttys(void)
{
	int i, error;

	driver = tty_alloc_driver(NR_PORTS, TTY_DRIVER_RESET_TERMIOS | TTY_DRIVER_REAL_RAW);
	if (IS_ERR(driver))
		return PTR_ERR(driver);
	driver->driver_name = "minilab";
	driver->name = "lab";
	driver->type = TTY_DRIVER_TYPE_SYSTEM;
	driver->init_termios = tty_std_termios;
	driver->init_termios.c_oflag = 0;
	driver->init_termios.c_lflag = 0;
	tty_set_operations(driver, &lab_tty_ops);
	for (i = 0; i < NR_PORTS; i++) {
		tty_port_init(tty_ports[i]);
		tty_ports[i]->ops = &lab_port_ops;
		tty_port_link_device(tty_ports[i], driver, i);
	}
	error = tty_register_driver(driver);
	if (error)
		tty_driver_kref_put(driver);
	return error;
}

static int __init minilab_init(void)
{
	int error = register_nmi_handler(NMI_LOCAL, heartbeat_nmi, 0, "minilab");

	if (error)
		return error;
	error = register_ttys();
	if (error) {
		unregister_nmi_handler(NMI_LOCAL, "minilab");
		return error;
	}
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
	cpuhp_setup_state_nocalls(CPUHP_BP_PREPARE_DYN, "minilab:prepare", cpu_will_start, NULL);
	cpuhp_setup_state_nocalls(CPUHP_AP_ONLINE_DYN, "minilab:online", cpu_started, NULL);
	return 0;
}
module_init(minilab_init);

/* No exit: the lab's module stays as long as its machine. */

MODULE_DESCRIPTION("The inside end of minivmm's virtual lab");
MODULE_LICENSE("GPL");
