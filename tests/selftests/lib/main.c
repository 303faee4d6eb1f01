// SPDX-License-Identifier: GPL-2.0
/* The entry point of a program whose tests are all in its source. */
#include "test.h"

int main(int argc, char **argv)
{
	return run_tests(argc, argv);
}
