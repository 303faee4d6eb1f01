/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How a measurement gets from the guest to bench. Around each batch it says so by PORT_MARK, a few
 * times around nothing first; behind each it writes the ticks that it took, 32 bits, low first, to
 * PORT_TICKS; before PORT_EXIT, how many operations a batch was.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#define PORT_TICKS	0xf8
#define PORT_COUNT	0xf9
#define PORT_MARK	0xfa

/* From there on bench has touched some memory that the guest hasn't. */
#define FRESH_MEMORY	(16ul << 20)
#define FRESH_SIZE	(4ul << 20)

enum { MARK_BEGIN, MARK_END, MARK_NOTHING };

#endif
