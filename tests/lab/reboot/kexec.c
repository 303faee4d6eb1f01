// SPDX-License-Identifier: GPL-2.0
/*
 * kexec load|panic ENTRY ADDRESS:FILE…	places files in memory for the next kernel, which is
 *					entered now or when this one panics
 * kexec go				enters it
 */
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct kexec_segment segments[KEXEC_SEGMENT_MAX];

static int add(struct kexec_segment *segment, const char *text)
{
	char *path;
	struct stat st;
	int fd;

	segment->mem = (void *)strtoul(text, &path, 16);
	fd = open(path + 1, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	segment->buf = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	segment->bufsz = st.st_size;
	segment->memsz = (st.st_size + 4095) & ~4095ul;
	return segment->buf == MAP_FAILED ? -1 : 0;
}

int main(int argc, char **argv)
{
	long flags = KEXEC_ARCH_X86_64, r = -1;

	if (argc == 2) {
		r = syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			    LINUX_REBOOT_CMD_KEXEC, NULL);
	} else if (argc > 3 && argc - 3 <= KEXEC_SEGMENT_MAX) {
		for (int i = 3; i < argc; i++)
			if (add(&segments[i - 3], argv[i])) {
				perror(argv[i]);
				return 1;
			}
		if (!strcmp(argv[1], "panic"))
			flags |= KEXEC_ON_CRASH;
		r = syscall(SYS_kexec_load, strtoul(argv[2], NULL, 16), argc - 3, segments, flags);
	}
	if (r)
		perror("kexec");
	return r != 0;
}
