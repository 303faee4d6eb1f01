// SPDX-License-Identifier: GPL-2.0
/* fw_cfg, and the ACPI tables that firmware puts in place by its script. */
#include <endian.h>
#include <stdio.h>

#include "acpi.h"
#include "layout.h"
#include "vmrun_env.h"

#define SELECT	0x510
#define DATA	0x511
#define DMA	0x514
#define REQUEST	0x1000
#define BUFFER	0x2000

static void read_item(struct fake *f, uint16_t item, void *buf, size_t len)
{
	uint8_t *p = buf;

	outw(f, SELECT, item);
	while (len--)
		*p++ = inb(f, DATA);
}

static void it_is_there(void **state)
{
	struct fake *f = *state;
	uint32_t id;
	uint16_t cpus;
	char sig[6];

	read_item(f, 0, sig, sizeof(sig));
	assert_memory_equal(sig, "QEMU\0\0", 6);	/* zeros behind the end */
	read_item(f, 1, &id, 4);
	assert_int_equal(id, 3);
	read_item(f, 5, &cpus, 2);
	assert_int_equal(cpus, 3);
	read_item(f, 0x7777, sig, 2);
	assert_int_equal(sig[0], 0);
	assert_int_equal(inw(f, SELECT), 0xffff);	/* can't be read back */
}

static void files_have_a_directory(void **state)
{
	struct fake *f = *state;
	struct {
		uint32_t count;
		struct { uint32_t size; uint16_t select, reserved; char name[56]; } file[3];
	} d;
	uint64_t number;
	char text[6];

	read_item(f, 0x19, &d, sizeof(d));
	assert_int_equal(be32toh(d.count), 2);
	assert_string_equal(d.file[0].name, "etc/one");
	assert_int_equal(be32toh(d.file[0].size), 5);
	assert_int_equal(be32toh(d.file[1].size), 8);
	assert_int_equal(d.file[2].size, 0);
	read_item(f, be16toh(d.file[0].select), text, 6);
	assert_memory_equal(text, "first", 6);
	read_item(f, be16toh(d.file[1].select), &number, 8);
	assert_true(number == 0x1122334455667788);
	read_item(f, be16toh(d.file[1].select) + 1, text, 1);
	assert_int_equal(text[0], 0);
}

static uint32_t dma(struct fake *f, uint32_t control, uint32_t length, uint64_t address)
{
	struct { uint32_t control, length; uint64_t address; } r = {
		htobe32(control), htobe32(length), htobe64(address),
	};

	mem_write(&f->mem, REQUEST, &r, sizeof(r));
	outl(f, DMA + 4, htobe32(REQUEST));
	mem_read(&f->mem, REQUEST, &r, sizeof(r));
	return be32toh(r.control);
}

static void dma_reads(void **state)
{
	struct fake *f = *state;
	const char *buf = mem_at(&f->mem, BUFFER, 16);

	assert_int_equal(inl(f, DMA), 0x554d4551);	/* QEMU */
	assert_int_equal(inl(f, DMA + 4), 0x47464320);	/*  CFG */
	memset(mem_at(&f->mem, BUFFER, 16), 0xaa, 16);
	assert_int_equal(dma(f, 0x20 << 16 | 0x08 | 0x02, 7, BUFFER), 0);
	assert_memory_equal(buf, "first\0\0\xaa", 8);
	assert_int_equal(dma(f, 0x20 << 16 | 0x08, 0, 0), 0);
	assert_int_equal(dma(f, 0x04, 2, 0), 0);	/* skip */
	assert_int_equal(dma(f, 0x02, 3, BUFFER), 0);
	assert_memory_equal(buf, "rst", 3);
}

static void dma_stays_in_memory(void **state)
{
	struct fake *f = *state;

	assert_int_equal(dma(f, 0x08 | 0x02, 4, FAKE_MEM - 3), 1);
	assert_int_equal(dma(f, 0x08 | 0x02, 0xffffffff, BUFFER), 1);
	assert_int_equal(dma(f, 0x08 | 0x02, 1, UINT64_MAX), 1);
	assert_int_equal(dma(f, 0x08 | 0x10, 4, BUFFER), 1);		/* writes */
	assert_int_equal(dma(f, 0x08 | 0x04, 0xffffffff, 0), 0);
	assert_int_equal(inb(f, DATA), 0);
	/* Requests that aren't in memory, or not all of them. */
	outl(f, DMA, 0xffffffff);
	outl(f, DMA + 4, 0xffffffff);
	outl(f, DMA + 4, htobe32(FAKE_MEM - 8));
	outl(f, DMA + 4, htobe32(FAKE_MEM - 16));
	/* Bytes and words aren't requests. */
	outw(f, DMA + 4, 0);
	outb(f, DMA + 7, 0);
}

static void the_map_tells_all_memory(void **state)
{
	struct { uint64_t addr, size; uint32_t type; } __attribute__((packed)) map[3];
	struct guest_mem mem = { .low_size = 0xc0000000, .high_size = 0x40000000 };
	struct fwcfg cfg = { .nr = 0 };
	struct error err;

	(void)state;
	assert_int_equal(fwcfg_add_memory_map(&cfg, &mem, &err), 0);
	assert_int_equal(cfg.files[0].size, sizeof(map));
	memcpy(map, cfg.files[0].data, sizeof(map));
	assert_true(map[0].addr == 0 && map[0].size == 0xc0000000 && map[0].type == 1);
	assert_true(map[1].addr == IDENTITY_MAP_ADDR && map[1].type == 2);
	assert_true(map[2].addr == 1ULL << 32 && map[2].size == 0x40000000 && map[2].type == 1);
	fwcfg_destroy(&cfg);
}

/* ---- the script, as firmware carries it out -------------------------------------------------- */

#define LINE	128

static const struct fwcfg_file *file(const struct fwcfg *cfg, const char *name)
{
	unsigned int i;

	for (i = 0; i < cfg->nr; i++)
		if (!strcmp(cfg->files[i].name, name))
			return &cfg->files[i];
	fail_msg("there is no file %s", name);
	return NULL;
}

static uint32_t get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return v;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	while (len--)
		s += *p++;
	return s;
}

static void run_line(const struct fwcfg *cfg, const uint8_t *l, uint32_t tables_at)
{
	const struct fwcfg_file *f = file(cfg, (const char *)l + 4);
	uint8_t *data = f->data;
	uint64_t value = 0;

	switch (get32(l)) {
	case 1:
		assert_true(get32(l + 60) >= 16 && (l[64] == 1 || l[64] == 2));
		break;
	case 2:
		assert_string_equal((const char *)l + 60, "etc/acpi/tables");
		assert_true(l[120] && get32(l + 116) + l[120] <= f->size);
		memcpy(&value, data + get32(l + 116), l[120]);
		assert_true(value < file(cfg, "etc/acpi/tables")->size);
		value += tables_at;
		memcpy(data + get32(l + 116), &value, l[120]);
		break;
	case 3:
		assert_true(get32(l + 64) + get32(l + 68) <= f->size);
		data[get32(l + 60)] -= sum(data + get32(l + 64), get32(l + 68));
		break;
	default:
		fail_msg("command %u", get32(l));
	}
}

static void assert_table(const uint8_t *tables, uint64_t offset, const char *signature)
{
	assert_memory_equal(tables + offset, signature, 4);
	assert_int_equal(sum(tables + offset, get32(tables + offset + 4)), 0);
}

static void firmware_links_the_tables(void **state)
{
	const uint32_t at = 0x7ffe000;
	const struct fwcfg_file *script;
	struct fwcfg cfg = { .nr = 0 };
	const uint8_t *tables, *rsdp, *xsdt, *fadt;
	struct error err;
	uint32_t i;

	(void)state;
	assert_int_equal(fwcfg_add_acpi(&cfg, 64, &err), 0);
	script = file(&cfg, "etc/table-loader");
	assert_int_equal(script->size % LINE, 0);
	for (i = 0; i < script->size; i += LINE)
		run_line(&cfg, (uint8_t *)script->data + i, at);
	tables = file(&cfg, "etc/acpi/tables")->data;
	rsdp = file(&cfg, "etc/acpi/rsdp")->data;
	assert_memory_equal(rsdp, "RSD PTR ", 8);
	assert_int_equal(sum(rsdp, 20), 0);
	assert_int_equal(sum(rsdp, 36), 0);
	assert_table(tables, get32(rsdp + 16) - at, "RSDT");
	assert_int_equal(get32(tables + (get32(rsdp + 16) - at) + 36), at + 0x40 + get32(tables + 0x44));
	xsdt = tables + (get32(rsdp + 24) - at);
	assert_table(tables, xsdt - tables, "XSDT");
	fadt = tables + (get32(xsdt + 36) - at);
	assert_table(tables, fadt - tables, "FACP");
	assert_table(tables, get32(xsdt + 44) - at, "APIC");
	assert_table(tables, get32(fadt + 40) - at, "DSDT");
	assert_int_equal(get32(fadt + 140), get32(fadt + 40));
	assert_memory_equal(tables + (get32(fadt + 36) - at), "FACS", 4);
	assert_int_equal((get32(fadt + 36) - at) % 64, 0);
	fwcfg_destroy(&cfg);
}

static void there_is_room_for_so_many(void **state)
{
	struct fwcfg cfg = { .nr = 0 };
	struct error err;
	char name[60];
	int i;

	(void)state;
	memset(name, 'x', sizeof(name));
	name[56] = 0;
	assert_int_equal(fwcfg_add(&cfg, name, "", 1, &err), -1);
	name[55] = 0;
	for (i = 0; i < FWCFG_FILES_MAX; i++)
		assert_int_equal(fwcfg_add(&cfg, name, "", 1, &err), 0);
	assert_int_equal(fwcfg_add(&cfg, "one more", "", 1, &err), -1);
	fwcfg_destroy(&cfg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		machine_test(it_is_there),
		machine_test(files_have_a_directory),
		machine_test(dma_reads),
		machine_test(dma_stays_in_memory),
		cmocka_unit_test(the_map_tells_all_memory),
		cmocka_unit_test(firmware_links_the_tables),
		cmocka_unit_test(there_is_room_for_so_many),
	};

	return cmocka_run_group_tests_name("vmrun fw_cfg", tests, NULL, NULL);
}
