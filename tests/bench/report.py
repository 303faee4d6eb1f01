# SPDX-License-Identifier: GPL-2.0
"""The bench's figures as a table for a terminal, as Markdown, as JSON and as a chart."""

import json
import os
import re
import statistics
import subprocess

import rows

MODES = ("ept", "shadow")
COUNTERS = ("exit", "vmread", "vmwrite", "vmcs", "rdmsr", "wrmsr", "tlb", "cr", "fpu", "locked")


class Figures:
    """What was measured: {row: {"kvm ept": {"ticks": …, "counts": {…}}}}."""

    def __init__(self):
        self.rows = {}

    @staticmethod
    def saved(path):
        """Those of an earlier run, of which some are about to be replaced."""
        figures = Figures()
        if os.path.exists(path):
            with open(path, encoding="ascii") as f:
                figures.rows = json.load(f)["rows"]
        return figures

    def add(self, hypervisor, mmu, name, ticks, counts=None):
        entry = {"ticks": ticks}
        if "," in ticks:
            values = sorted(int(value) for value in ticks.split(","))
            entry = {
                "ticks": round(statistics.median(values)),
                "spread": values[-1 - len(values) // 20] - values[len(values) // 20],
            }
        elif ticks.isdigit():
            entry = {"ticks": int(ticks)}
        if counts:
            entry["counts"] = dict(zip(COUNTERS, map(float, counts.split(","))))
        self.rows.setdefault(name, {})[f"{hypervisor} {mmu}"] = entry

    def ticks(self, name, hypervisor, mmu):
        entry = self.rows.get(name, {}).get(f"{hypervisor} {mmu}", {})
        return entry.get("ticks", "")

    def floor(self, row):
        """The same in every column: no hypervisor has a part in it."""
        known = [e["ticks"] for e in self.rows.get(row.floor, {}).values()]
        return min((ticks for ticks in known if isinstance(ticks, int)), default=0)

    def ratio(self, row, mmu):
        ours, kvms = (self.ticks(row.name, h, mmu) for h in ("minivmm", "kvm"))
        if not isinstance(ours, int) or not isinstance(kvms, int):
            return None
        floor = self.floor(row)
        return (ours - floor) / (kvms - floor) if kvms > floor else None

    def groups(self):
        """(title, rows) as far as there are figures, with what rows.py doesn't know at the end."""
        known = set()
        for title, members in rows.GROUPS:
            known.update(row.name for row in members)
            present = [row for row in members if row.name in self.rows]
            if present:
                yield title, present
        others = [rows.Row(name, "", None) for name in self.rows if name not in known]
        if others:
            yield "Others", others


def ratio_text(figures, row, mmu):
    ratio = figures.ratio(row, mmu)
    if row.name.startswith("floor_") or ratio is None:
        return ""
    return f"{ratio:.2f}" + ("*" if row.floor else "")


def misses(figures, row, mmu):
    ratio = figures.ratio(row, mmu)
    if row.goal is None or ratio is None:
        return False
    exits = figures.rows[row.name].get(f"kvm {mmu}", {}).get("counts", {}).get("exit")
    goal = rows.GOALS[row.goal][MODES.index(mmu)]
    if exits is not None and exits < 0.01 and not row.goal == rows.LOAD:
        goal = 1.0  # nothing to win where KVM doesn't exit
    return round(ratio, 2) > goal


def text(figures):
    head = ("ticks per operation", "minivmm", "KVM", "ratio", "minivmm", "KVM", "ratio")
    lines = [f"{'':34}{'EPT':^29}{'shadow':^29}".rstrip()]
    lines.append(f"{head[0]:34}" + "".join(f"{h:>{w}}" for h, w in zip(head[1:], (11, 11, 7) * 2)))
    for title, members in figures.groups():
        lines.append(f"-- {title}")
        for row in members:
            line = f"{row.name:34}"
            for mmu in MODES:
                ours, kvms = (figures.ticks(row.name, h, mmu) for h in ("minivmm", "kvm"))
                line += f"{ours:>11}{kvms:>11}{ratio_text(figures, row, mmu):>7}"
            lines.append(line.rstrip())
    return "\n".join(lines)


def number(value):
    return f"{value:,}" if isinstance(value, int) else value


def markdown(figures, machine):
    lines = [
        "# What operations cost",
        "",
        f"Written by `tests/bench/run --save`: {machine}. Ticks are instructions. What the rows mean, and "
        "what to read in them: [Documentation/performance.md](../../Documentation/performance.md). A "
        "ratio is minivmm / KVM; with a star after subtracting the row's floor from both. Bold: it "
        "misses the goal.",
    ]
    for title, members in figures.groups():
        lines += [
            "",
            f"## {title}",
            "",
            "| | minivmm, EPT | KVM, EPT | ratio | minivmm, shadow | KVM, shadow | ratio |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for row in members:
            cells = [row.what or row.name]
            for mmu in MODES:
                ratio = ratio_text(figures, row, mmu)
                if ratio and misses(figures, row, mmu):
                    ratio = f"**{ratio}**"
                cells += [number(figures.ticks(row.name, h, mmu)) for h in ("minivmm", "kvm")]
                cells.append(ratio)
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines + counts_markdown(figures)) + "\n"


def count_text(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def counts_markdown(figures):
    """Of one operation each, minivmm's and KVM's."""
    lines = [
        "",
        "## What a tick doesn't weigh",
        "",
        "How often one operation makes the host execute what takes a tick in the lab, and tens to "
        "thousands of cycles on hardware: minivmm / KVM. vmcs: VMPTRLD, VMCLEAR. tlb: INVEPT, INVVPID, "
        "INVLPG, moves to CR3. cr: moves to other control registers, XSETBV. fpu: XSAVE, FXSAVE and the "
        "like. locked: locked instructions.",
        "",
        "| row | mode | " + " | ".join(COUNTERS) + " |",
        "|---|---|" + "---:|" * len(COUNTERS),
    ]
    for _, members in figures.groups():
        for row in members:
            for mmu in MODES:
                pair = [
                    figures.rows[row.name].get(f"{h} {mmu}", {}).get("counts")
                    for h in ("minivmm", "kvm")
                ]
                if not any(pair):
                    continue
                cells = [
                    " / ".join(count_text((counts or {}).get(c)) or "–" for counts in pair)
                    for c in COUNTERS
                ]
                cells = ["" if cell == "0 / 0" else cell for cell in cells]
                lines.append(f"| `{row.name}` | {mmu} | " + " | ".join(cells) + " |")
    return lines if len(lines) > 7 else []


def write_json(path, figures, machine, complete):
    with open(path, "w", encoding="ascii") as f:
        json.dump({"machine": machine, "complete": complete, "rows": figures.rows}, f, indent=1)
        f.write("\n")


def short_table(figures):
    """Those of the chart's rows."""
    lines = [
        "| | minivmm, EPT | KVM, EPT | minivmm, shadow | KVM, shadow |",
        "|---|---:|---:|---:|---:|",
    ]
    for _, members in figures.groups():
        for row in members:
            if row.short:
                cells = [number(figures.ticks(row.name, h, mmu))
                         for mmu in MODES for h in ("minivmm", "kvm")]
                lines.append(f"| {row.what} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_between_marks(path, text_between):
    with open(path, encoding="utf-8") as f:
        text_now = f.read()
    changed = re.sub(r"(<!-- make bench: [^\n]*\n).*?(<!-- end -->)",
                     lambda m: m[1] + text_between + m[2], text_now, flags=re.S)
    with open(path, "w", encoding="utf-8") as f:
        f.write(changed)


CHART = """\
set terminal svg noenhanced size 860,{height} font "sans-serif,12" background rgb "white"
set output "{path}"
set title "Ticks on minivmm as a share of KVM's, in the same mode"
set key outside bottom center horizontal
set style fill solid 0.9 noborder
set xrange [0:1.5]
set yrange [{rows}:-1]
set xtics 0.25
set grid xtics lc rgb "#cccccc"
set ytics scale 0 ({labels})
set arrow from 1,graph 0 to 1,graph 1 nohead lc rgb "#444444" lw 1.5
$ept << EOD
{ept}
EOD
$shadow << EOD
{shadow}
EOD
plot $ept using (0.0):1:(0.0):2:3:4 with boxxyerror lc rgb "#2b6cb0" title "EPT", \\
 $shadow using (0.0):1:(0.0):2:3:4 with boxxyerror lc rgb "#dd8a26" title "shadow paging"
"""


def chart(path, figures):
    """A bar for each mode of the rows that are marked for it; not where KVM doesn't exit either."""
    labels, bars = [], {mmu: [] for mmu in MODES}
    for _, members in figures.groups():
        for row in members:
            if not row.chart:
                continue
            y = len(labels)
            labels.append(f'"{row.what.replace("%", "%%")}" {y}')
            for mmu, low, high in (("ept", -0.38, 0.0), ("shadow", 0.0, 0.38)):
                ratio = figures.ratio(row, mmu)
                if ratio is not None:
                    bars[mmu].append(f"{y} {ratio:.3f} {y + low:.2f} {y + high:.2f}")
    if not all(bars.values()):
        return
    script = CHART.format(
        path=path,
        height=120 + 26 * len(labels),
        rows=len(labels),
        labels=", ".join(labels),
        ept="\n".join(bars["ept"]),
        shadow="\n".join(bars["shadow"]),
    )
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
