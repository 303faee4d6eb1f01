// SPDX-License-Identifier: GPL-2.0
/* GET_STATS_FD: the file of counters of a VM and of a vCPU, in the form that KVM's has. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vm.h"

GUEST64(three_exits, cpuid; cpuid; hlt)

#define FLAG_TYPE(flags)	((flags) & 0xf)
#define FLAG_UNIT(flags)	((flags) >> 4 & 0xf)
#define FLAG_BASE(flags)	((flags) >> 8 & 0xf)

static struct minivmm_stats_header header_of(int fd)
{
	struct minivmm_stats_header h;

	CHECK_EQ(pread(fd, &h, sizeof(h), 0), (long)sizeof(h));
	return h;
}

static size_t desc_size(const struct minivmm_stats_header *h)
{
	return sizeof(struct minivmm_stats_desc) + h->name_size;
}

static void *descriptors_of(int fd, const struct minivmm_stats_header *h)
{
	long size = h->num_desc * desc_size(h);
	void *descs = malloc(size);

	CHECK_EQ(pread(fd, descs, size, h->desc_offset), size);
	return descs;
}

static struct minivmm_stats_desc *desc_at(void *descs, const struct minivmm_stats_header *h, u32 i)
{
	return (void *)((char *)descs + i * desc_size(h));
}

static u64 counter(int fd, const char *name)
{
	struct minivmm_stats_header h = header_of(fd);
	void *descs = descriptors_of(fd, &h);
	u64 value;

	for (u32 i = 0; i < h.num_desc; i++) {
		struct minivmm_stats_desc *d = desc_at(descs, &h, i);

		if (strcmp(d->name, name))
			continue;
		CHECK_EQ(pread(fd, &value, sizeof(value), h.data_offset + d->offset), 8);
		free(descs);
		return value;
	}
	FAIL("there is no counter %s", name);
}

static void check_desc(const struct minivmm_stats_desc *d, const struct minivmm_stats_header *h,
		       size_t data_size)
{
	context("counter %.*s", (int)h->name_size, d->name);
	CHECK(strnlen(d->name, h->name_size) < h->name_size);
	CHECK(d->name[0]);
	CHECK(FLAG_TYPE(d->flags) <= 4 && FLAG_UNIT(d->flags) <= 4 && FLAG_BASE(d->flags) <= 1);
	CHECK(d->size);
	CHECK(d->offset % 8 == 0 && d->offset + 8ul * d->size <= data_size);
	CHECK(!d->bucket_size || FLAG_TYPE(d->flags) == 3);
}

static void check_form(int fd, const char *id_begins)
{
	struct minivmm_stats_header h = header_of(fd);
	void *descs = descriptors_of(fd, &h);
	size_t data_size = 0;
	char id[256];
	u64 *data;

	CHECK(h.num_desc && h.name_size <= sizeof(id));
	CHECK(h.id_offset >= sizeof(h) && h.desc_offset >= sizeof(h) && h.data_offset >= sizeof(h));
	CHECK(h.id_offset % 8 == 0 && h.desc_offset % 8 == 0 && h.data_offset % 8 == 0);
	CHECK_EQ(pread(fd, id, h.name_size, h.id_offset), (long)h.name_size);
	CHECK(strnlen(id, h.name_size) < h.name_size);
	CHECK(!strncmp(id, id_begins, strlen(id_begins)));

	for (u32 i = 0; i < h.num_desc; i++)
		data_size += 8ul * desc_at(descs, &h, i)->size;
	for (u32 i = 0; i < h.num_desc; i++) {
		check_desc(desc_at(descs, &h, i), &h, data_size);
		for (u32 j = 0; j < i; j++)
			CHECK(strcmp(desc_at(descs, &h, i)->name, desc_at(descs, &h, j)->name));
	}
	context("the data");
	CHECK(h.data_offset >= h.desc_offset + h.num_desc * desc_size(&h) ||
	      h.data_offset + data_size <= h.desc_offset);

	data = malloc(data_size);
	CHECK_EQ(pread(fd, data, data_size, h.data_offset), (long)data_size);
	free(data);
	free(descs);
}

TEST(form_of_a_vm)
{
	struct vm *vm = vm_with_memory(MEM_SIZE);

	check_form(CHECK_OK(ioctl(vm->fd, MINIVMM_GET_STATS_FD, 0)), "kvm");
}

TEST(form_of_a_vcpu)
{
	struct vcpu *v = BOOT(LONG64, three_exits);

	check_form(CHECK_OK(ioctl(v->fd, MINIVMM_GET_STATS_FD, 0)), "kvm");
}

TEST(read_bit_by_bit_is_the_same)
{
	struct vcpu *v = BOOT(LONG64, three_exits);
	int fd = CHECK_OK(ioctl(v->fd, MINIVMM_GET_STATS_FD, 0));
	char whole[65536], pieces[sizeof(whole)];
	long size = CHECK_OK(pread(fd, whole, sizeof(whole), 0)), at = 0, n;

	CHECK(size > 0 && size < (long)sizeof(whole));
	/* by the file's own position, in pieces that don't fit its parts */
	while ((n = CHECK_OK(read(fd, pieces + at, 37))))
		at += n;
	CHECK_EQ(at, size);
	CHECK_MEM(pieces, whole, size);
	CHECK_EQ(pread(fd, whole, 1, size), 0);
	CHECK_EQ(pread(fd, whole, 1, 1l << 40), 0);
}

TEST(file_refuses_what_it_is_not_for)
{
	struct vm *vm = vm_create();
	int fd = CHECK_OK(ioctl(vm->fd, MINIVMM_GET_STATS_FD, 0));
	char c = 0;

	CHECK_ERRNO(write(fd, &c, 1), EBADF);
	CHECK_ERRNO(syscall(SYS_read, fd, 8l, 8l), EFAULT);
	CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(exits_are_counted)
{
	struct vcpu *v = BOOT(LONG64, three_exits);
	int fd = CHECK_OK(ioctl(v->fd, MINIVMM_GET_STATS_FD, 0));
	u64 before = counter(fd, "exits");

	RUN_TO(v, MINIVMM_EXIT_HLT);
	CHECK(counter(fd, "exits") >= before + 3);
	CHECK_EQ(counter(fd, "halt_exits"), 1);
	if (opt.oracle)
		return;		/* KVM has no counter for each reason */
	CHECK_EQ(counter(fd, "exit_cpuid"), 2);
	CHECK_EQ(counter(fd, "exit_hlt"), 1);
}

TEST(counters_outlive_the_other_descriptors)
{
	struct vcpu *v = BOOT(LONG64, three_exits);
	int fd = CHECK_OK(ioctl(v->fd, MINIVMM_GET_STATS_FD, 0));

	RUN_TO(v, MINIVMM_EXIT_HLT);
	close(v->fd);
	close(v->vm->fd);
	CHECK_EQ(counter(fd, "halt_exits"), 1);
}
