"""Medians as a table, as one line of JSON, and as a part of docs/performance.md."""

import datetime
import json
import os
import platform
import subprocess
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "performance.md"


class Result:
    """The runs of one case, by contender."""

    def __init__(self, case, threads, runs):
        self.case, self.threads, self.runs = case, threads, runs

    def get(self, contender, what):
        """The median of one figure; `None` where it was not measured."""
        values = [run.said.get(what) if what in (run.said or {}) else getattr(run, what, None) for run in self.runs.get(contender, [])]
        values = [v for v in values if v is not None]
        return median(values) if values else None

    def complete(self):
        said = self.runs["ours_ingest"][0].said
        return not any(said[count] for count in ("adds", "updates", "removals")) or "ours_fold" in self.runs or said.get("bulk_s") is not None

    def whole(self):
        """Ours, the whole job: ingest, then the fold of what it found, which are two functions of the product."""
        both = [self.runs[name] for name in ("ours_ingest", "ours_fold") if self.runs.get(name)]
        turns = list(zip(*both))
        return {
            "wall_s": median(sum(run.wall_s for run in turn) for turn in turns),
            "cpu_s": median(sum(run.cpu_s for run in turn) for turn in turns),
            "peak_mb": median(max(run.peak_mb for run in turn) for turn in turns),
        }

    def figures(self):
        """Everything that was measured, in seconds and megabytes (10^6 bytes)."""
        case, ours = self.case, self.whole()
        said = self.runs["ours_ingest"][0].said
        figures = {
            "case": case.name, "rows": case.rows, "churn": case.churn, "columns": case.width, "parts": case.parts,
            "threads": self.threads, "runs": len(self.runs["floor"]), "commit": commit(),
            "adds": said["adds"], "updates": said["updates"], "removals": said["removals"],
            # So many changes make a bulk version: the next state is the file that ingest writes, and there are no items.
            "bulk_s": self.get("ours_ingest", "bulk_s"),
            "complete": self.complete(),
            # Each whole process. Ours: ingest (changes and log items), then fold, added; the larger peak of the two.
            "ours_s": ours["wall_s"], "floor_s": self.get("floor", "wall_s"),
            "ours_mb": ours["peak_mb"], "floor_mb": self.get("floor", "peak_mb"),
            "ours_cpu_s": ours["cpu_s"], "floor_cpu_s": self.get("floor", "cpu_s"),
            # Ours, each alone. Processes: one that ends once the changes are found, ingest, fold.
            "changes_s": self.get("ours_changes", "wall_s"), "items_s": self.get("ours_ingest", "items_s"), "fold_s": self.get("ours_fold", "wall_s"),
            "ingest_s": self.get("ours_ingest", "wall_s"),
            "changes_cpu_s": self.get("ours_changes", "cpu_s"), "ingest_cpu_s": self.get("ours_ingest", "cpu_s"), "fold_cpu_s": self.get("ours_fold", "cpu_s"),
            "changes_mb": self.get("ours_changes", "peak_mb"), "ingest_mb": self.get("ours_ingest", "peak_mb"), "fold_mb": self.get("ours_fold", "peak_mb"),
            "read_mb": self.get("ours_ingest", "read_mb"), "requests": self.get("ours_ingest", "requests"),
            "items_read_mb": self.get("ours_ingest", "items_read_mb"), "items": self.get("ours_ingest", "items"),
        }
        for name in ("duckdb", "duckdb_one_pass", "polars"):
            if self.runs.get(name):
                figures |= {
                    f"{name}_s": self.get(name, "wall_s"), f"{name}_mb": self.get(name, "peak_mb"), f"{name}_cpu_s": self.get(name, "cpu_s"),
                    # Within the process, imports not counted.
                    f"{name}_changes_s": self.get(name, "changes_s"), f"{name}_state_s": self.get(name, "state_s"),
                }
        return figures | self.ratios(figures)

    @staticmethod
    def ratios(f):
        """What the goals are stated in. The rivals' changes are counted without their start, ours with it."""
        rivals = [f[f"{name}_changes_s"] for name in ("duckdb", "duckdb_one_pass") if f.get(f"{name}_changes_s")]
        ratios = {"changes_to_floor": f["changes_s"] / f["floor_s"], "ingest_to_floor": f["ingest_s"] / f["floor_s"]}
        if rivals:
            ratios["duckdb_to_ingest"] = min(rivals) / f["ingest_s"]
            ratios["ingest_mb_to_duckdb"] = f["ingest_mb"] / min(f[f"{name}_mb"] for name in ("duckdb", "duckdb_one_pass") if f.get(f"{name}_mb"))
        if f.get("polars_changes_s"):
            ratios["polars_to_ingest"] = f["polars_changes_s"] / f["ingest_s"]
        if f.get("polars_s") and f["complete"]:
            ratios["duckdb_to_ours"] = min(f["duckdb_s"], f["duckdb_one_pass_s"]) / f["ours_s"]
            ratios["polars_to_ours"] = f["polars_s"] / f["ours_s"]
        return ratios

    def line(self):
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in self.figures().items()}
        return "BENCH " + json.dumps(rounded)

    def table(self):
        f, case = self.figures(), self.case
        lines = [
            f"**{case.name}**: {case.rows:,} records, {case.width} columns, {f['adds']:,} added, {f['updates']:,} changed, {f['removals']:,} removed; "
            f"medians of {f['runs']}, {self.threads} threads",
            "",
        ]
        rows = [["", "wall", "CPU", "peak memory", "changes", "log items", "next state"]]
        rows.append(["decode floor", *self.process("floor"), "", "", ""])
        whole = self.whole()
        rows.append(["Driftless: ingest, then fold", seconds(whole["wall_s"]), seconds(whole["cpu_s"]), megabytes(whole["peak_mb"]), seconds(self.get("ours_ingest", "changes_s")), seconds(f["items_s"]), seconds(f["fold_s"])])
        rows.append(["· ingest, as far as the changes", *self.process("ours_changes"), seconds(self.get("ours_changes", "changes_s")), "", ""])
        rows.append(["· ingest", *self.process("ours_ingest"), seconds(self.get("ours_ingest", "changes_s")), seconds(f["items_s"]), seconds(f["bulk_s"]) if f["bulk_s"] else ""])
        rows.append(["· fold", *self.process("ours_fold"), "", "", seconds(self.get("ours_fold", "fold_s"))])
        for title, name in (("DuckDB, stored history", "duckdb"), ("DuckDB, one pass", "duckdb_one_pass"), ("Polars, stored state", "polars")):
            if self.runs.get(name):
                rows.append([title, *self.process(name), seconds(f[f"{name}_changes_s"]), "", seconds(f[f"{name}_state_s"])])
        lines += pipes(rows)
        named = [
            ("changes_to_floor", "changes ÷ floor"), ("ingest_to_floor", "ingest ÷ floor"), ("duckdb_to_ingest", "fastest DuckDB's changes ÷ ingest"),
            ("polars_to_ingest", "Polars' changes ÷ ingest"), ("duckdb_to_ours", "fastest DuckDB, whole ÷ ours, whole"), ("polars_to_ours", "Polars, whole ÷ ours, whole"),
            ("ingest_mb_to_duckdb", "ingest's memory ÷ the smaller DuckDB's"),
        ]
        ratios = [f"{title} {f[key]:.2f}" for key, title in named if key in f]
        if f["bulk_s"]:
            ratios.append("so many changes make a bulk version: no log items, and the next state is a file that ingest writes")
        elif not f["complete"]:
            ratios.append("ours ends at the changes")
        return "\n".join([*lines, "", "; ".join(ratios) + "."])

    def process(self, contender):
        walls = [run.wall_s for run in self.runs.get(contender, [])]
        spread = f" ({min(walls):.2f}–{max(walls):.2f})" if walls else ""
        return [seconds(self.get(contender, "wall_s")) + spread, seconds(self.get(contender, "cpu_s")), megabytes(self.get(contender, "peak_mb"))]


def seconds(value):
    return "–" if value is None else f"{value:.2f} s"


def megabytes(value):
    return "–" if value is None else f"{value:,.0f} MB"


def pipes(rows):
    """A Markdown table that is also a table to the eye."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def growth(thing, results):
    """How cost grows with one thing."""
    value = {"rows": lambda c: f"{c.rows:,}", "columns": lambda c: str(c.width), "churn": lambda c: f"{100 * c.churn:g} %", "part files": lambda c: f"{c.parts:,}"}[thing]
    rows = [[thing, "floor", "changes", "ingest", "fold", "DuckDB, changes", "changes ÷ floor", "ingest, a million records", "peak memory, ingest", "peak memory, fold", "read", "requests"]]
    for result in results:
        f = result.figures()
        rows.append([
            value(result.case), seconds(f["floor_s"]), seconds(f["changes_s"]), seconds(f["ingest_s"]), seconds(f["fold_s"]), seconds(f.get("duckdb_changes_s")),
            f"{f['changes_to_floor']:.2f}", seconds(f["ingest_s"] / f["rows"] * 1e6), megabytes(f["ingest_mb"]), megabytes(f["fold_mb"]), megabytes(f["read_mb"]), f"{f['requests']:,.0f}",
        ])
    same = results[0].case
    fixed = [f"{same.rows:,} records"] * (thing != "rows") + [f"{same.width} columns"] * (thing != "columns") + [f"churn {100 * same.churn:g} %"] * (thing != "churn") + [f"{same.parts} file"] * (thing != "part files")
    return "\n".join([f"**By {thing}**: {', '.join(fixed)}; medians of {len(results[0].runs['floor'])}, {results[0].threads} threads", "", *pipes(rows)])


def machine(threads):
    """One line about where this runs."""
    model = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if line.startswith("model name")), platform.machine())
    memory = next((int(line.split()[1]) / 1e6 for line in read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), 0)
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} processors ({threads} used), {memory:.0f} GB, {platform.system()} {platform.release()}; load average {load:.1f} before; commit {commit()}"


def read(path):
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def commit():
    """What was measured; with a `+` if the sources differ from it."""
    ask = lambda *words: subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False).stdout.strip()  # noqa: E731
    changed = ask("status", "--porcelain", "--untracked-files=no", "--", "*.rs", "*.py", "*.toml", "Cargo.lock")
    return (ask("rev-parse", "--short=10", "HEAD") or "unknown") + ("+" if changed else "")


def into_docs(key, table, arguments):
    """Puts a table between its two marks in docs/performance.md."""
    text = DOCS.read_text(encoding="utf-8")
    begin, end = f"<!-- bench: {key} -->\n", "<!-- end -->"
    before, found, rest = text.partition(begin)
    if not found:
        before, rest = text.rstrip() + "\n\n", end + "\n"
    _, _, after = rest.partition(end)
    now = datetime.datetime.now(datetime.timezone.utc).date()
    measured = f"Measured {now} with `{command(arguments)}` on: {arguments.machine}."
    DOCS.write_text(f"{before}{begin}{table}\n\n{measured}\n{end}{after}", encoding="utf-8")


def command(arguments):
    words = ["make bench"]
    words += ["SWEEP=1"] * arguments.sweep + ["FULL=1"] * arguments.full
    words += [f"CASES='{' '.join(arguments.cases)}'"] if arguments.cases else []
    words += [f"REPEAT={arguments.repeat}"] * (arguments.repeat != 5)
    return " ".join(words)
