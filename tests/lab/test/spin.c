// SPDX-License-Identifier: GPL-2.0
/*
 * spin DEVICE: runs a guest that spins with interrupts off until a signal arrives. On Bochs 2.7 the
 * signal's timer never fires without the lab's heartbeat.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

static const unsigned char spin[] = { 0xfa, 0xeb, 0xfe };	/* cli; 1: jmp 1b */

static void interrupted(int signal)
{
	(void)signal;
}

static int run(int vm, int vcpu)
{
	unsigned char *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = { .memory_size = 4096, .userspace_addr = (unsigned long)memory };
	struct kvm_regs regs = { .rflags = 2 };
	struct itimerval every_second = { .it_interval.tv_sec = 1, .it_value.tv_sec = 1 };
	struct kvm_sregs sregs;

	memcpy(memory, spin, sizeof(spin));
	if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot) || ioctl(vcpu, KVM_GET_SREGS, &sregs))
		return -1;
	sregs.cs.base = sregs.cs.selector = 0;
	if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
		return -1;
	setitimer(ITIMER_REAL, &every_second, NULL);
	return ioctl(vcpu, KVM_RUN, 0) == -1 && errno == EINTR ? 0 : -1;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = interrupted };
	int device = argc == 2 ? open(argv[1], O_RDWR) : -1;
	int vm = ioctl(device, KVM_CREATE_VM, 0), vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);

	sigaction(SIGALRM, &action, NULL);
	if (vcpu < 0 || run(vm, vcpu)) {
		perror("spin");
		return 1;
	}
	puts("interrupted");
	return 0;
}
