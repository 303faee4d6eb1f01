// SPDX-License-Identifier: GPL-2.0
/* Tables that vmrun writes for the guest or reads from it and from the hypervisor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "acpi.h"
#include "layout.h"
#include "loaders/linux.h"
#include "mptable.h"
#include "stats.h"
#include "vm.h"
#include "walk.h"

static struct guest_mem mem;

static int setup(void **state)
{
	struct error err;

	(void)state;
	return mem_create(&mem, 8 << 20, &err);
}

static int teardown(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

/* ---- guest memory ---------------------------------------------------------------------------- */

static void memory_is_checked(void **state)
{
	struct guest_mem m;
	struct error err;

	(void)state;
	assert_int_equal(mem_create(&m, MEM_HOLE_START + (64 << 20), &err), 0);
	assert_int_equal(m.low_size, MEM_HOLE_START);
	assert_int_equal(m.high_size, 64 << 20);
	assert_ptr_equal(mem_at(&m, 0, 1), m.base);
	assert_ptr_equal(mem_at(&m, MEM_HOLE_START - 1, 1), m.base + MEM_HOLE_START - 1);
	assert_null(mem_at(&m, MEM_HOLE_START - 1, 2));
	assert_null(mem_at(&m, MEM_HOLE_START, 1));
	assert_null(mem_at(&m, MEM_HIGH_START - 1, 2));
	assert_ptr_equal(mem_at(&m, MEM_HIGH_START, 64 << 20), m.base + MEM_HOLE_START);
	assert_null(mem_at(&m, MEM_HIGH_START, (64 << 20) + 1));
	assert_null(mem_at(&m, MEM_HIGH_START + (64 << 20), 1));
	assert_null(mem_at(&m, 0x1000, UINT64_MAX));
	assert_null(mem_at(&m, UINT64_MAX, 1));
	assert_null(mem_at(&m, UINT64_MAX - 7, 8));
	mem_destroy(&m);
	assert_null(mem_at(&m, 0, 1));
	assert_int_equal(mem_create(&m, 1ULL << 60, &err), -1);
}

/* ---- MP table -------------------------------------------------------------------------------- */

static uint8_t sum(uint64_t gpa, size_t len)
{
	const uint8_t *p = mem_at(&mem, gpa, len);
	uint8_t s = 0;

	assert_non_null(p);
	while (len--)
		s += *p++;
	return s;
}

static void mptable_is_well_formed(void **state)
{
	static const uint8_t sizes[] = { 20, 8, 8, 8, 8 };
	unsigned int cpus, i, n[5];

	(void)state;
	for (cpus = 1; cpus <= CPUS_MAX; cpus++) {
		const uint8_t *f, *t, *e;
		uint16_t len, entries;
		uint32_t table;

		mptable_write(&mem, cpus, 0x806f8, 0x1f8bfbff);
		f = mem_at(&mem, BIOS_START, 16);
		assert_memory_equal(f, "_MP_", 4);
		assert_int_equal(sum(BIOS_START, 16), 0);
		memcpy(&table, f + 4, 4);
		t = mem_at(&mem, table, 44);
		assert_memory_equal(t, "PCMP", 4);
		memcpy(&len, t + 4, 2);
		memcpy(&entries, t + 34, 2);
		assert_int_equal(sum(table, len), 0);
		assert_true(table + len <= BIOS_END);
		memset(n, 0, sizeof(n));
		e = t + 44;
		for (i = 0; i < entries; i++) {
			assert_true(e[0] < 5);
			n[e[0]]++;
			e += sizes[e[0]];
		}
		assert_ptr_equal(e, t + len);
		assert_int_equal(n[0], cpus);
		assert_int_equal(n[1], 2);
		assert_int_equal(n[2], 1);
		assert_int_equal(n[3], 15 - 2 + 30);	/* PCI's slots take two from ISA */
		assert_int_equal(n[4], 2);
	}
}

/* ---- ACPI ------------------------------------------------------------------------------------ */

/* The address of the table in the XSDT that has this signature, checked; 0 if there is none. */
static uint64_t acpi_table(uint64_t xsdt, const char *signature, uint32_t *len)
{
	uint32_t size, i;
	uint64_t table;

	mem_read(&mem, xsdt + 4, &size, 4);
	assert_int_equal(sum(xsdt, size), 0);
	for (i = 36; i < size; i += 8) {
		assert_true(mem_read(&mem, xsdt + i, &table, 8));
		assert_true(mem_read(&mem, table + 4, len, 4));
		assert_int_equal(sum(table, *len), 0);
		if (!memcmp(mem_at(&mem, table, 4), signature, 4))
			return table;
	}
	return 0;
}

static void madt_lists_the_cpus(uint64_t madt, uint32_t len, unsigned int cpus)
{
	unsigned int n = 0, ioapics = 0;
	const uint8_t *m = mem_at(&mem, madt, len), *e = m + 44;

	for (; e < m + len; e += e[1]) {
		assert_in_range(e[1], 2, 12);
		if (e[0] == 0) {
			assert_int_equal(e[3], n);
			n++;
		} else if (e[0] == 1) {
			ioapics++;
		}
	}
	assert_ptr_equal(e, m + len);
	assert_int_equal(n, cpus);
	assert_int_equal(ioapics, 1);
}

static void acpi_is_well_formed(void **state)
{
	static const char keyboard[] = "KBD_\x08_HID\x0c\x41\xd0\x03\x03";
	uint64_t rsdp, xsdt = 0, madt, fadt, dsdt;
	unsigned int cpus;
	uint32_t len;

	(void)state;
	for (cpus = 1; cpus <= CPUS_MAX; cpus++) {
		acpi_write(&mem, cpus);
		for (rsdp = BIOS_START; rsdp < BIOS_END; rsdp += 16)
			if (!memcmp(mem_at(&mem, rsdp, 8), "RSD PTR ", 8))
				break;
		assert_true(rsdp < BIOS_END);
		assert_int_equal(sum(rsdp, 20), 0);
		assert_int_equal(sum(rsdp, 36), 0);
		mem_read(&mem, rsdp + 24, &xsdt, 8);
		madt = acpi_table(xsdt, "APIC", &len);
		madt_lists_the_cpus(madt, len, cpus);
		fadt = acpi_table(xsdt, "FACP", &len);
		assert_int_equal(len, 244);
		assert_true(mem_read(&mem, fadt + 140, &dsdt, 8));
		mem_read(&mem, dsdt + 4, &len, 4);
		assert_int_equal(sum(dsdt, len), 0);
		assert_true(dsdt + len <= BIOS_END);
		assert_non_null(memmem(mem_at(&mem, dsdt, len), len, keyboard, sizeof(keyboard) - 1));
	}
}

/* Both kinds of table share the BIOS' place. */
static void tables_dont_overlap(void **state)
{
	uint8_t *bios = mem_at(&mem, BIOS_START, BIOS_END - BIOS_START), *copy;
	size_t i, size = BIOS_END - BIOS_START, mp_end = 0;

	(void)state;
	memset(bios, 0, size);
	mptable_write(&mem, CPUS_MAX, 1, 1);
	for (i = 0; i < size; i++)
		if (bios[i])
			mp_end = i + 1;
	copy = malloc(mp_end);
	memcpy(copy, bios, mp_end);
	acpi_write(&mem, CPUS_MAX);
	assert_memory_equal(copy, bios, mp_end);
	free(copy);
}

/* ---- page walk ------------------------------------------------------------------------------- */

static void put(uint64_t gpa, uint64_t value, size_t size)
{
	assert_true(mem_write(&mem, gpa, &value, size));
}

static void assert_walk(const struct minivmm_sregs *s, uint64_t gva, uint64_t want)
{
	uint64_t gpa = 0;

	assert_true(walk(&mem, s, gva, &gpa));
	assert_true(gpa == want);
}

static void walk_without_paging(void **state)
{
	struct minivmm_sregs s = { .cr0 = 0x10 };

	(void)state;
	assert_walk(&s, 0x12345, 0x12345);
	assert_string_equal(paging_mode(&s), "real mode");
	s.cr0 |= 1;
	assert_string_equal(paging_mode(&s), "protected mode without paging");
}

static void walk_of_4_levels(void **state)
{
	struct minivmm_sregs s = { .cr0 = 0x80000001, .cr3 = 0x100018, .cr4 = 0x20, .efer = 0x500 };
	uint64_t gpa, gva = 0xffff888012345678;

	(void)state;
	assert_string_equal(paging_mode(&s), "4-level paging");
	put(0x100000 + (gva >> 39 & 511) * 8, 0x101067, 8);
	assert_false(walk(&mem, &s, gva, &gpa));
	put(0x101000 + (gva >> 30 & 511) * 8, 0x40000083, 8);
	assert_walk(&s, gva, 0x40000000 | (gva & 0x3fffffff));
	put(0x101000 + (gva >> 30 & 511) * 8, 0x102067, 8);
	put(0x102000 + (gva >> 21 & 511) * 8, 0x80000000006000e7, 8);
	assert_walk(&s, gva, 0x600000 | (gva & 0x1fffff));
	put(0x102000 + (gva >> 21 & 511) * 8, 0x103067, 8);
	put(0x103000 + (gva >> 12 & 511) * 8, 0x80000000007890e7, 8);
	assert_walk(&s, gva, 0x789678);
	put(0x103000 + (gva >> 12 & 511) * 8, 0x7890e6, 8);
	assert_false(walk(&mem, &s, gva, &gpa));
}

static void walk_of_pae_and_32_bit(void **state)
{
	struct minivmm_sregs s = { .cr0 = 0x80000001, .cr3 = 0x200020, .cr4 = 0x20 };
	uint64_t gpa, gva = 0xc0123456;

	(void)state;
	assert_string_equal(paging_mode(&s), "PAE paging");
	put(0x200020 + 3 * 8, 0x201001, 8);
	put(0x201000, 0x400083, 8);
	assert_walk(&s, gva, 0x523456);
	assert_walk(&s, gva | 1ULL << 40, 0x523456);
	assert_false(walk(&mem, &s, 0x123456, &gpa));

	s.cr4 = 0;
	s.cr3 = 0x300000;
	assert_string_equal(paging_mode(&s), "32-bit paging");
	put(0x300000 + (gva >> 22) * 4, 0x301083, 4);
	put(0x301000 + (gva >> 12 & 1023) * 4, 0x500003, 4);
	assert_walk(&s, gva, 0x500456);
	s.cr4 = 0x10;
	put(0x300000 + (gva >> 22) * 4, 0x002083, 4);	/* PSE-36: bit 13 is address bit 32 */
	assert_walk(&s, gva, 0x100000000 | (gva & 0x3fffff));
}

static void walk_stays_in_memory(void **state)
{
	struct minivmm_sregs s = { .cr0 = 0x80000001, .cr4 = 0x1020, .efer = 0x500 };
	uint64_t gpa, i;
	uint8_t buf[16];

	(void)state;
	assert_string_equal(paging_mode(&s), "5-level paging");
	for (i = 0; i < 64; i++) {
		s.cr3 = 1ULL << i;
		walk(&mem, &s, UINT64_MAX, &gpa);
		walk_read(&mem, &s, UINT64_MAX - 3, buf, sizeof(buf));
	}
	/* A table that is its own entry ends after its levels. */
	s.cr3 = 0x400000;
	for (i = 0; i < 512; i++)
		put(0x400000 + i * 8, 0x400003, 8);
	assert_walk(&s, 0x1234, 0x400234);
}

/* ---- statistics ------------------------------------------------------------------------------ */

#define NAME_SIZE	16
#define DESC_SIZE	(sizeof(struct minivmm_stats_desc) + NAME_SIZE)

struct stats_file {
	struct minivmm_stats_header h;
	char id[16];
	uint8_t descs[4][DESC_SIZE];
	uint64_t data[4];
};

static void make_desc(struct stats_file *s, unsigned int i, const char *name, uint32_t flags,
		      uint64_t value)
{
	struct minivmm_stats_desc d = { .flags = flags, .size = 1, .offset = i * 8 };

	memcpy(s->descs[i], &d, sizeof(d));
	strncpy((char *)s->descs[i] + sizeof(d), name, NAME_SIZE);
	s->data[i] = value;
}

static void make_stats(struct stats_file *s)
{
	*s = (struct stats_file) {
		.h = {
			.name_size = NAME_SIZE, .num_desc = 4,
			.id_offset = offsetof(struct stats_file, id),
			.desc_offset = offsetof(struct stats_file, descs),
			.data_offset = offsetof(struct stats_file, data),
		},
	};
	make_desc(s, 0, "exits", MINIVMM_STATS_TYPE_CUMULATIVE, 1000);
	make_desc(s, 1, "pages", MINIVMM_STATS_TYPE_INSTANT, 55);
	make_desc(s, 2, "never", MINIVMM_STATS_TYPE_CUMULATIVE, 0);
	make_desc(s, 3, "io_exits", MINIVMM_STATS_TYPE_CUMULATIVE, 2000);
}

static int read_stats(struct counters *c, const struct stats_file *s, size_t size)
{
	int rc, fd = memfd_create("stats", 0);

	assert_int_equal(write(fd, s, size), size);
	rc = counters_read(c, fd);
	close(fd);
	return rc;
}

static void stats_add_up(void **state)
{
	struct counters c = { };
	struct stats_file s;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	(void)state;
	make_stats(&s);
	assert_int_equal(read_stats(&c, &s, sizeof(s)), 0);
	assert_int_equal(read_stats(&c, &s, sizeof(s)), 0);
	assert_int_equal(c.nr, 3);
	counters_print(&c, "all", out);
	fclose(out);
	assert_true(c.list[0].value == 4000 && c.list[1].value == 2000 && c.list[2].value == 110);
	assert_null(strstr(text, "never"));
	assert_non_null(strstr(text, "pages"));
	free(text);
	counters_free(&c);
}

static void stats_that_are_broken(void **state)
{
	struct counters c = { };
	struct stats_file s;
	size_t size;

	(void)state;
	make_stats(&s);
	for (size = 0; size < sizeof(s); size++)
		read_stats(&c, &s, size);
	s.h.num_desc = UINT32_MAX;
	assert_int_equal(read_stats(&c, &s, sizeof(s)), -1);
	make_stats(&s);
	s.h.name_size = 0;
	assert_int_equal(read_stats(&c, &s, sizeof(s)), -1);
	s.h.name_size = UINT32_MAX;
	assert_int_equal(read_stats(&c, &s, sizeof(s)), -1);
	make_stats(&s);
	s.h.desc_offset = UINT32_MAX;
	assert_int_equal(read_stats(&c, &s, sizeof(s)), -1);
	counters_free(&c);
}

/* ---- CPUID ----------------------------------------------------------------------------------- */

static struct minivmm_cpuid2 *offer(void)
{
	static const struct minivmm_cpuid_entry2 entries[] = {
		{ .function = 0, .eax = 0x16 },
		{ .function = 1, .eax = 0x506e3, .ebx = 0xff100800, .edx = 0x0fabfbff },
		{ .function = 4, .index = 0, .eax = 0xfc004121, .flags = 1 },
		{ .function = 4, .index = 1, .eax = 0xfc01c163, .flags = 1 },
		{ .function = 4, .index = 2, .eax = 0, .flags = 1 },
		{ .function = 0xb, .index = 0, .eax = 1, .flags = 1 },
		{ .function = 0xd, .index = 0, .eax = 7, .flags = 1 },
	};
	struct minivmm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_MAX * sizeof(c->entries[0]));

	memcpy(c->entries, entries, sizeof(entries));
	c->nent = sizeof(entries) / sizeof(entries[0]);
	return c;
}

static const struct minivmm_cpuid_entry2 *leaf(const struct minivmm_cpuid2 *c, uint32_t function,
					       uint32_t index)
{
	uint32_t i;

	for (i = 0; i < c->nent; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	fail_msg("no leaf %#x.%u", function, index);
	return NULL;
}

static void cpuid_places_each_cpu(void **state)
{
	struct minivmm_cpuid2 *c = offer();

	(void)state;
	cpuid_personalise(c, 2, 3);
	assert_int_equal(leaf(c, 1, 0)->ebx, 2u << 24 | 4 << 16 | 0x0800);
	assert_true(leaf(c, 1, 0)->ecx & 1u << 31);
	assert_true(leaf(c, 1, 0)->edx & 1u << 28);
	assert_int_equal(leaf(c, 4, 0)->eax, 3u << 26 | 0x121);
	assert_int_equal(leaf(c, 4, 1)->eax, 3u << 26 | 3 << 14 | 0x163);
	assert_int_equal(leaf(c, 4, 2)->eax, 0);
	assert_int_equal(leaf(c, 0xb, 0)->eax, 0);
	assert_int_equal(leaf(c, 0xb, 0)->ecx, 0x100);
	assert_int_equal(leaf(c, 0xb, 0)->edx, 2);
	assert_int_equal(leaf(c, 0xb, 1)->eax, 2);
	assert_int_equal(leaf(c, 0xb, 1)->ebx, 3);
	assert_int_equal(leaf(c, 0xb, 1)->ecx, 0x201);
	assert_int_equal(leaf(c, 0xd, 0)->eax, 7);
	free(c);
	c = offer();
	cpuid_personalise(c, 0, 1);
	assert_int_equal(leaf(c, 1, 0)->ebx, 1 << 16 | 0x0800);
	assert_false(leaf(c, 1, 0)->edx & 1u << 28);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_checked),
		cmocka_unit_test(mptable_is_well_formed),
		cmocka_unit_test(acpi_is_well_formed),
		cmocka_unit_test(tables_dont_overlap),
		cmocka_unit_test(walk_without_paging),
		cmocka_unit_test(walk_of_4_levels),
		cmocka_unit_test(walk_of_pae_and_32_bit),
		cmocka_unit_test(walk_stays_in_memory),
		cmocka_unit_test(stats_add_up),
		cmocka_unit_test(stats_that_are_broken),
		cmocka_unit_test(cpuid_places_each_cpu),
	};

	return cmocka_run_group_tests_name("vmrun tables", tests, setup, teardown);
}
