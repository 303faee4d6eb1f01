// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "device.h"

extern const struct device_class *const __start_vmrun_devices[];
extern const struct device_class *const __stop_vmrun_devices[];

static int by_order(const void *a, const void *b)
{
	const struct device_class *const *x = a, *const *y = b;

	if ((*x)->order != (*y)->order)
		return (*x)->order < (*y)->order ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

int devices_create(struct device_set *set, const struct device_env *env, struct error *err)
{
	const struct device_class *sorted[DEVICES_MAX];
	size_t i, n = __stop_vmrun_devices - __start_vmrun_devices;

	if (n > DEVICES_MAX)
		return failed(err, "more than %d kinds of device", DEVICES_MAX);
	memcpy(sorted, __start_vmrun_devices, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_order);

	for (i = 0; i < n; i++) {
		void *dev = sorted[i]->create(env, err);

		if (!dev) {
			devices_destroy(set);
			return -1;
		}
		set->made[set->nr].class = sorted[i];
		set->made[set->nr++].dev = dev;
	}
	return 0;
}

void devices_destroy(struct device_set *set)
{
	while (set->nr) {
		set->nr--;
		set->made[set->nr].class->destroy(set->made[set->nr].dev);
	}
}

void devices_info(struct device_set *set, FILE *out)
{
	unsigned int i;

	for (i = 0; i < set->nr; i++)
		if (set->made[i].class->info)
			set->made[i].class->info(set->made[i].dev, out);
}
