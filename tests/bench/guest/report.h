/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a measurement gets from the guest to bench: two writes of 32 bits, low first, then PORT_EXIT.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#define PORT_TICKS	0xf8

#endif
