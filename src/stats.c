// SPDX-License-Identifier: GPL-2.0
/*
 * Statistics, in the binary form of KVM's API (GET_STATS_FD): a descriptor that reads as a file of
 * header, id, one descriptor per counter, and the counters. Where a counter means what one of KVM's
 * does it has KVM's name, so that KVM's tools find it.
 *
 * A counter is one line of a table below. All but the counters is put together when the descriptor
 * is opened; the counters are read as they stand, without locking out those who count.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "minivmm.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

#define NAME_SIZE	48	/* KVM's; with the NUL, and a multiple of 8 */

struct counter {
	const char *name;
	u32 flags;	/* MINIVMM_STATS_* */
	u16 offset;	/* in struct vcpu_stats or vm_stats */
};

#define COUNTER(of, field, name) \
	{ name, MINIVMM_STATS_TYPE_CUMULATIVE | MINIVMM_STATS_UNIT_NONE, offsetof(of, field) }
#define GAUGE(of, field, name) \
	{ name, MINIVMM_STATS_TYPE_INSTANT | MINIVMM_STATS_UNIT_NONE, offsetof(of, field) }

static const struct counter vcpu_counters[] = {
	COUNTER(struct vcpu_stats, exits, "exits"),
	COUNTER(struct vcpu_stats, io_exits, "io_exits"),
	COUNTER(struct vcpu_stats, mmio_exits, "mmio_exits"),
	COUNTER(struct vcpu_stats, signal_exits, "signal_exits"),
	COUNTER(struct vcpu_stats, halt_exits, "halt_exits"),
	COUNTER(struct vcpu_stats, irq_window_exits, "irq_window_exits"),
	COUNTER(struct vcpu_stats, faults, "pf_taken"),
	COUNTER(struct vcpu_stats, faults_fixed, "pf_fixed"),
	COUNTER(struct vcpu_stats, faults_around, "pf_around"),
	COUNTER(struct vcpu_stats, emulated, "insn_emulation"),
	COUNTER(struct vcpu_stats, injected_irqs, "irq_injections"),
	COUNTER(struct vcpu_stats, injected_nmis, "nmi_injections"),
	COUNTER(struct vcpu_stats, injected_exceptions, "exception_injections"),
	COUNTER(struct vcpu_stats, tlb_flushes, "tlb_flush"),
	COUNTER(struct vcpu_stats, host_state_loads, "host_state_reload"),
};

static const struct counter vm_counters[] = {
	COUNTER(struct vm_stats, remote_tlb_flushes, "remote_tlb_flush"),
	COUNTER(struct vm_stats, tables_reclaimed, "mmu_recycled"),
	GAUGE(struct vm_stats, table_pages, "table_pages"),
};

#define MAX_COUNTERS	(ARRAY_SIZE(vcpu_counters) + ARRAY_SIZE(((struct vcpu_stats *)0)->exit))

/* The file: the image of it that the next read copies from, and where its counters come from. */
struct stats_file {
	struct vm *vm;			/* a reference; keeps the vCPU, too */
	const void *counters;		/* struct vcpu_stats or vm_stats */
	int nr;
	u16 source[MAX_COUNTERS];	/* offsets in counters, in the order of the file */
	struct mutex lock;		/* image's counters: two readers of one descriptor */
	size_t size;			/* of image */
	u64 *data;			/* its last part */
	u8 image[] __aligned(8);
};

/* ---- what doesn't change --------------------------------------------------------------------- */

#define DESC_SIZE	(sizeof(struct minivmm_stats_desc) + NAME_SIZE)
#define ID_OFFSET	sizeof(struct minivmm_stats_header)
#define DESC_OFFSET	(ID_OFFSET + NAME_SIZE)

static void add_counter(struct stats_file *f, u32 flags, u16 source, const char *prefix,
			const char *name)
{
	struct minivmm_stats_desc *desc = (void *)&f->image[DESC_OFFSET + f->nr * DESC_SIZE];

	BUILD_BUG_ON(DESC_OFFSET % 8 || DESC_SIZE % 8);
	desc->flags = flags | MINIVMM_STATS_BASE_POW10;
	desc->size = 1;
	desc->offset = f->nr * sizeof(u64);
	snprintf(desc->name, NAME_SIZE, "%s%s", prefix, name);
	f->source[f->nr++] = source;
}

static void add_counters(struct stats_file *f, const struct counter *c, int nr)
{
	for (; nr; nr--, c++)
		add_counter(f, c->flags, c->offset, "", c->name);
}

/* One for each exit reason that has a name. */
static void add_exits(struct stats_file *f)
{
	struct vcpu_stats *stats = NULL;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(stats->exit); i++)
		if (hw_exit_name(i))
			add_counter(f, MINIVMM_STATS_TYPE_CUMULATIVE | MINIVMM_STATS_UNIT_NONE,
				    offsetof(struct vcpu_stats, exit[i]), "exit_",
				    hw_exit_name(i));
}

static void finish_image(struct stats_file *f)
{
	struct minivmm_stats_header *header = (void *)f->image;
	size_t data_offset = DESC_OFFSET + f->nr * DESC_SIZE;

	header->name_size = NAME_SIZE;
	header->num_desc = f->nr;
	header->id_offset = ID_OFFSET;
	header->desc_offset = DESC_OFFSET;
	header->data_offset = data_offset;
	f->data = (void *)&f->image[data_offset];
	f->size = data_offset + f->nr * sizeof(u64);
}

/* ---- the descriptor -------------------------------------------------------------------------- */

static ssize_t stats_read(struct file *file, char __user *buf, size_t size, loff_t *pos)
{
	struct stats_file *f = file->private_data;
	ssize_t done;
	int i;

	if (mutex_lock_killable(&f->lock))
		return -EINTR;
	for (i = 0; i < f->nr; i++)
		f->data[i] = READ_ONCE(*(const u64 *)(f->counters + f->source[i]));
	done = simple_read_from_buffer(buf, size, pos, f->image, f->size);
	mutex_unlock(&f->lock);
	return done;
}

static loff_t stats_llseek(struct file *file, loff_t offset, int whence)
{
	struct stats_file *f = file->private_data;

	return fixed_size_llseek(file, offset, whence, f->size);
}

static void stats_free(struct stats_file *f)
{
	mutex_destroy(&f->lock);
	kvfree(f);
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *f = file->private_data;

	vm_put(f->vm);
	stats_free(f);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.llseek = stats_llseek,
	.release = stats_release,
};

static struct stats_file *stats_alloc(struct vm *vm, const void *counters, int max)
{
	size_t image = DESC_OFFSET + max * (DESC_SIZE + sizeof(u64));
	struct stats_file *f = kvzalloc(struct_size(f, image, image), GFP_KERNEL_ACCOUNT);

	if (!f)
		return NULL;
	f->vm = vm;
	f->counters = counters;
	mutex_init(&f->lock);
	return f;
}

/* Consumes f. A new descriptor, or an errno. */
static long stats_open(struct stats_file *f, const char *name)
{
	struct file *file;
	int fd;

	finish_image(f);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto free;
	file = anon_inode_getfile(name, &stats_fops, f, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto free;
	}
	/* anonymous inodes have no position unless they say so */
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD;
	vm_get(f->vm);
	fd_install(fd, file);
	return fd;
free:
	stats_free(f);
	return fd;
}

/*
 * The ids begin with "kvm" because clients look for that; the number is the process's, so that the
 * VMs of a host can be told apart.
 */
#define id_of(f)	((char *)&(f)->image[ID_OFFSET])

/**
 * stats_fd_vcpu() - GET_STATS_FD on a vCPU
 * @vcpu: kept, with its VM, as long as the descriptor is open
 *
 * Return: a descriptor; -ENOMEM, -EMFILE, -ENFILE
 */
long stats_fd_vcpu(struct vcpu *vcpu)
{
	struct stats_file *f = stats_alloc(vcpu->vm, &vcpu->stats, MAX_COUNTERS);

	if (!f)
		return -ENOMEM;
	snprintf(id_of(f), NAME_SIZE, "kvm-%d/vcpu-%d", task_tgid_nr(current), vcpu->id);
	add_counters(f, vcpu_counters, ARRAY_SIZE(vcpu_counters));
	add_exits(f);
	return stats_open(f, "minivmm-vcpu-stats");
}

/**
 * stats_fd_vm() - GET_STATS_FD on a VM
 * @vm: kept as long as the descriptor is open
 *
 * Return: as of stats_fd_vcpu()
 */
long stats_fd_vm(struct vm *vm)
{
	struct stats_file *f = stats_alloc(vm, &vm->stats, ARRAY_SIZE(vm_counters));

	if (!f)
		return -ENOMEM;
	snprintf(id_of(f), NAME_SIZE, "kvm-%d", task_tgid_nr(current));
	add_counters(f, vm_counters, ARRAY_SIZE(vm_counters));
	return stats_open(f, "minivmm-vm-stats");
}
