// SPDX-License-Identifier: GPL-2.0
/* From an errno to a sentence that says what is wrong with this machine, and the remedy. */
#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm.h"

#define ECX1_VMX	(1u << 5)

/* What the CPU itself says, which Linux doesn't repeat when the firmware switched it off. */
static bool cpu_has_vmx(void)
{
	unsigned int a, b, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & ECX1_VMX);
}

/* Is a word in the first line of a file that starts with key? */
static bool file_line_has(const char *path, const char *key, const char *word)
{
	char line[8192], *p, *save = NULL;
	FILE *f = fopen(path, "re");
	bool found = false;

	while (f && !found && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		for (p = line; !found && (p = strtok_r(p, " \t\n", &save)); p = NULL)
			found = !strcmp(p, word);
		break;
	}
	if (f)
		fclose(f);
	return found;
}

static bool module_loaded(const char *name)
{
	char key[64];

	snprintf(key, sizeof(key), "%s ", name);
	return file_line_has("/proc/modules", key, name);
}

static int no_module(const char *dev, struct error *err)
{
	bool kvm = strstr(dev, "kvm");

	if (!cpu_has_vmx())
		return failed(err, "this CPU has no VT-x: there is nothing to run virtual machines with");
	if (!file_line_has("/proc/cpuinfo", "flags", "vmx") &&
	    !file_line_has("/proc/cpuinfo", "vmx flags", "vnmi"))
		return failed(err, "VT-x is disabled by the firmware: enable it in the BIOS or UEFI setup (often \"Intel Virtualization Technology\") and power-cycle");
	if (module_loaded(kvm ? "kvm_intel" : "minivmm"))
		return failed(err, "%s isn't there although the module is loaded: is /dev complete, and the name right?",
			      dev);
	return failed(err, "the module isn't loaded: `%s`",
		      kvm ? "modprobe kvm_intel" : "insmod minivmm.ko");
}

int diagnose_open(const char *dev, int error, struct error *err)
{
	switch (error) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		return no_module(dev, err);
	case EACCES:
	case EPERM:
		return failed(err, "no permission to open %s: become root, or a member of the group that the udev rule gives it to (kvm)",
			      dev);
	default:
		return failed(err, "%s can't be opened: %s", dev, strerror(error));
	}
}

static const struct {
	const char *module, *name, *remedy;
} hypervisors[] = {
	{ "minivmm", "minivmm", "end its virtual machines" },
	{ "vboxdrv", "VirtualBox (vboxdrv)",
	  "end its virtual machines, then `rmmod vboxnetadp vboxnetflt vboxdrv`" },
	{ "vmmon", "VMware (vmmon)", "end its virtual machines, then `/etc/init.d/vmware stop`" },
	{ "kvm_intel", "KVM (kvm_intel)", "end its virtual machines, or `rmmod kvm_intel`" },
};

static int in_use(bool is_kvm, struct error *err)
{
	size_t i;

	/* The one that refuses isn't the holder. */
	for (i = 0; i < sizeof(hypervisors) / sizeof(hypervisors[0]); i++)
		if (strcmp(hypervisors[i].module, is_kvm ? "kvm_intel" : "minivmm") &&
		    module_loaded(hypervisors[i].module))
			return failed(err, "VT-x is in use by another hypervisor, most likely %s: %s",
				      hypervisors[i].name, hypervisors[i].remedy);
	return failed(err, "VT-x is in use by another hypervisor, whose module isn't one that vmrun knows: the kernel log may name it");
}

int diagnose_create_vm(const struct options *o, bool is_kvm, int error, struct error *err)
{
	static const char *const modes[] = { "auto", "ept", "shadow" };

	switch (error) {
	case EBUSY:
		return in_use(is_kvm, err);
	case EOPNOTSUPP:
		return failed(err, "this CPU, or the module as it was loaded, can't do --mmu %s",
			      modes[o->mmu]);
	case EINVAL:
		return failed(err, "%s doesn't know --mmu %s", o->dev, modes[o->mmu]);
	default:
		return failed(err, "%s can't create a virtual machine: %s", o->dev,
			      strerror(error));
	}
}
