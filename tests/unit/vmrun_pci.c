// SPDX-License-Identifier: GPL-2.0
/* The PCI bus, its host bridge and what else is on the board. */
#include <stdio.h>

#include "exitcode.h"
#include "vmrun_env.h"

#define ADDRESS		0xcf8
#define DATA		0xcfc
#define AT(devfn, reg)	(0x80000000U | (devfn) << 8 | (reg))

static uint32_t config(struct fake *f, unsigned int devfn, unsigned int reg)
{
	outl(f, ADDRESS, AT(devfn, reg));
	return inl(f, DATA);
}

static void set_config(struct fake *f, unsigned int devfn, unsigned int reg, uint32_t value)
{
	outl(f, ADDRESS, AT(devfn, reg));
	outl(f, DATA, value);
}

static void the_board_is_found(void **state)
{
	struct fake *f = *state;
	unsigned int devfn, found = 0;

	for (devfn = 0; devfn < PCI_DEVFN(PCI_FIRST_FREE_SLOT, 0); devfn++)
		found += config(f, devfn, 0) != 0xffffffff;
	assert_int_equal(found, 3);
	assert_int_equal(config(f, PCI_HOST_BRIDGE, 0), 0x12378086);
	assert_int_equal(config(f, PCI_HOST_BRIDGE, 8) >> 8, 0x060000);
	assert_int_equal(config(f, PCI_HOST_BRIDGE, 0x2c), 0x11001af4);
	assert_int_equal(config(f, PCI_ISA_BRIDGE, 0), 0x70008086);
	assert_int_equal(config(f, PCI_ISA_BRIDGE, 0xc) >> 16 & 0xff, 0x80);
	assert_int_equal(config(f, PCI_IDE, 0), 0x70108086);
	assert_int_equal(config(f, PCI_IDE, 8) >> 8, 0x010100);
}

static void accesses_of_any_width(void **state)
{
	struct fake *f = *state;

	outl(f, ADDRESS, AT(PCI_HOST_BRIDGE, 0));
	assert_int_equal(inl(f, ADDRESS), AT(PCI_HOST_BRIDGE, 0));
	assert_int_equal(inw(f, DATA), 0x8086);
	assert_int_equal(inw(f, DATA + 2), 0x1237);
	assert_int_equal(inb(f, DATA + 1), 0x80);
	assert_int_equal(inb(f, DATA + 3), 0x12);
	/* Across the register's end: what lies behind it isn't there. */
	assert_int_equal(inw(f, DATA + 3), 0xff12);
	assert_int_equal(inl(f, DATA + 2), 0xffff1237);
	outl(f, ADDRESS, AT(PCI_HOST_BRIDGE, 0xfc));
	assert_int_equal(inl(f, DATA), 0);
}

static void nobody_answers(void **state)
{
	struct fake *f = *state;

	outl(f, ADDRESS, AT(0, 0) & ~0x80000000U);	/* not enabled */
	assert_int_equal(inl(f, DATA), 0xffffffff);
	outl(f, ADDRESS, AT(0, 0) | 1 << 16);		/* another bus */
	assert_int_equal(inl(f, DATA), 0xffffffff);
	set_config(f, PCI_DEVFN(31, 7), 0x10, 0x12345678);
	assert_int_equal(inl(f, DATA), 0xffffffff);
	outb(f, ADDRESS, 0x55);				/* not the address: that is four bytes */
	outw(f, ADDRESS, 0x5555);
	assert_int_equal(inl(f, ADDRESS), AT(PCI_DEVFN(31, 7), 0x10));
}

static void only_some_bits_are_writable(void **state)
{
	static const uint8_t functions[] = { PCI_HOST_BRIDGE, PCI_ISA_BRIDGE, PCI_IDE };
	struct fake *f = *state;
	unsigned int i, reg;

	for (i = 0; i < 3; i++) {
		uint32_t id = config(f, functions[i], 0), sub = config(f, functions[i], 0x2c);
		uint32_t class = config(f, functions[i], 8);

		for (reg = 0; reg < 0x100; reg += 4)
			set_config(f, functions[i], reg, 0xffffffff);
		assert_int_equal(config(f, functions[i], 0), id);
		assert_int_equal(config(f, functions[i], 8), class);
		assert_int_equal(config(f, functions[i], 0x2c), sub);
		for (reg = 0x10; reg < 0x28; reg += 4)
			assert_int_equal(config(f, functions[i], reg), 0);	/* no BARs */
		assert_int_equal(config(f, functions[i], 0x3c), 0xff);
	}
	set_config(f, PCI_ISA_BRIDGE, 0x60, 0x0a0b0a0b);
	assert_int_equal(config(f, PCI_ISA_BRIDGE, 0x60), 0x0a0b0a0b);
}

static void pam_registers_choose(void **state)
{
	struct fake *f = *state;
	unsigned int i;

	assert_int_equal(config(f, 0, 0x58), 0);
	outl(f, ADDRESS, AT(0, 0x58));
	outb(f, DATA + 1, 0x31);		/* 0xf0000: both; the low half is nothing */
	assert_int_equal(f->shadow.mode[12], SHADOW_READ | SHADOW_WRITE);
	assert_int_equal(inb(f, DATA + 1), 0x30);
	outb(f, DATA + 2, 0x21);
	assert_int_equal(f->shadow.mode[0], SHADOW_READ);
	assert_int_equal(f->shadow.mode[1], SHADOW_WRITE);
	outl(f, ADDRESS, AT(0, 0x5c));
	outl(f, DATA, 0xff332211);
	assert_int_equal(inl(f, DATA), 0x33332211);
	for (i = 0; i < 2; i++) {
		assert_int_equal(f->shadow.mode[4 + i], 1);
		assert_int_equal(f->shadow.mode[6 + i], 2);
		assert_int_equal(f->shadow.mode[8 + i], 3);
		assert_int_equal(f->shadow.mode[10 + i], 3);
	}
	/* From below, and from above. */
	set_config(f, 0, 0x58, 0x00001000);
	assert_int_equal(f->shadow.mode[12], SHADOW_READ);
	assert_int_equal(f->shadow.mode[0], 0);
	assert_int_equal(f->shadow.mode[11], 3);
}

static void reset_control(void **state)
{
	struct fake *f = *state;

	outb(f, 0xcf9, 0x02);
	assert_int_equal(inb(f, 0xcf9), 0x02);
	outl(f, ADDRESS, 0xffffffff);		/* sets the bit, but of the address */
	outw(f, ADDRESS, 0xffff);
	outw(f, 0xcf9, 0x0606);			/* it takes bytes */
	assert_int_equal(f->stop_code, FAKE_NO_STOP);
	outb(f, 0xcf9, 0x06);
	assert_int_equal(f->stop_code, EXIT_GUEST_OK);
}

static void places_are_taken_once(void **state)
{
	struct fake *f = *state;
	struct pci_function other = { .name = "other" };
	struct error err;

	assert_int_equal(pci_add(&f->pci, PCI_IDE, &other, &err), -1);
	assert_non_null(strstr(err.text, "IDE"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(the_board_is_found),
		machine_test(accesses_of_any_width),
		machine_test(nobody_answers),
		machine_test(only_some_bits_are_writable),
		machine_test(pam_registers_choose),
		machine_test(reset_control),
		machine_test(places_are_taken_once),
	};

	return cmocka_run_group_tests_name("vmrun PCI", tests, NULL, NULL);
}
