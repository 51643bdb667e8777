"""Measures planning and committing: a first load, then a small change on top of it.

The functions of the product run one step a process over files; the table is in memory. Figures are those of each step's process: seconds,
the largest resident memory, and what it read and wrote. Prints a table in Markdown.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cases as c

M = 1_000_000
# Name, records, share of them that changes in the second snapshot, megabytes of planner and janitor.
CASES = {
    "first-1m": (M, None, 1_024),
    "first-1m-large": (M, None, 10_240),
    "first-10m": (10 * M, None, 10_240),
    "10k-of-1m": (M, 0.01, 10_240),
    "100k-of-1m": (M, 0.1, 10_240),
    "10k-of-10m": (10 * M, 0.001, 10_240),
    "100k-of-10m": (10 * M, 0.01, 10_240),
}


def say(text):
    print(text, flush=True)


class Sync:
    """One sync in a folder of its own."""

    def __init__(self, binary, folder, megabytes):
        self.binary, self.folder, self.megabytes = binary, folder, megabytes
        self.folder.mkdir(parents=True, exist_ok=True)

    def step(self, name, snapshot=None):
        arguments = [str(self.binary), name, str(self.folder)] + ([str(snapshot)] if snapshot else [])
        environment = {**os.environ, "DRIFTLESS_BENCH_MEMORY": str(self.megabytes)}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr}")
        told = json.loads(done.stdout)
        say(f"<!-- {self.folder.name} {name}: {json.dumps(told)} -->")
        return told.get("of", told)

    def load(self, snapshot):
        """Ingests, then plans and commits until nothing is left."""
        steps = [("ingest", self.step("ingest", snapshot))]
        while isinstance((planned := self.step("plan"))["outcome"], dict):
            steps += [("plan", planned), ("commit", self.step("commit"))]
        return steps


def row(name, told):
    outcome = told["outcome"]
    records = ""
    if isinstance(outcome, dict) and "adds" in outcome:
        records = f"{outcome['adds'] + outcome['updates'] + outcome['removals']:,}"
    units = f"{told['read_units']:,} / {told['write_units']:,}"
    return (
        f"| {name} | {records} | {told['s']:.1f} s | {told['peak_mb']:,} MB | {told['read_mb']:,.1f} MB in {told['gets']:,} "
        f"| {told['written_mb']:,.1f} MB in {told['puts']:,} | {units} |"
    )


HEAD = "| step | rows | time | peak memory | read, requests | written, requests | units read / written |\n|---|---|---|---|---|---|---|"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, type=Path, help="driftless-planning")
    parser.add_argument("--cache", required=True, type=Path, help="where snapshots are kept")
    parser.add_argument("--work", type=Path, help="where the syncs are; emptied first. CACHE/planning, if not given")
    parser.add_argument("--python", default=sys.executable, help="the Python that has DuckDB")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    arguments = parser.parse_args()
    work = arguments.work or arguments.cache / "planning"
    begun = time.monotonic()
    for name in arguments.cases or CASES:
        rows, churn, megabytes = CASES[name]
        snapshots = c.snapshots(c.of(f"planning-{rows}-{churn or 0.01}", rows, churn or 0.01), arguments.cache / "snapshots", arguments.python, say)
        folder = work / name
        shutil.rmtree(folder, ignore_errors=True)
        sync = Sync(arguments.binary, folder, megabytes)
        sync.step("apply", snapshots / "a")
        if churn:
            sync.step("ingest", snapshots / "a")
            sync.step("assume")
        steps = sync.load(snapshots / ("b" if churn else "a"))
        say(f"\n**{name}**: {rows:,} records, functions of {megabytes:,} MB\n\n{HEAD}")
        for step, told in steps:
            say(row(step, told))
        shutil.rmtree(folder, ignore_errors=True)
    say(f"\nplanning: {(time.monotonic() - begun) / 60:.1f} min")


if __name__ == "__main__":
    main()
