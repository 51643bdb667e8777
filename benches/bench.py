#!/usr/bin/env python3
"""`make bench`: the diff of two snapshots by Driftless, beside the decode floor, DuckDB and Polars doing the same job.

Every measured run is a process of its own; the runs of one case are interleaved, so that a noisy neighbour hits all alike;
figures are medians. What each contender does is in docs/performance.md. A case ends with one line `BENCH {json}`.
"""

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import cases as c  # noqa: E402
import measure  # noqa: E402
import report  # noqa: E402

COUNTS = ("adds", "updates", "removals")


def say(message):
    print(message, flush=True)


class Bench:
    def __init__(self, arguments):
        self.repeat, self.threads, self.python, self.binary = arguments.repeat, arguments.threads, arguments.python, arguments.binary
        self.cache = Path(arguments.cache)

    def contenders(self, snapshots, work):
        """Name: what runs, and what is there before it."""
        ours = lambda *command: [str(self.binary), *command, str(snapshots), str(work / "ours")]  # noqa: E731

        def theirs(name):
            script = str(HERE / "contenders" / f"{name}.py")
            return lambda mode: [self.python, script, mode, str(snapshots), str(work / name)]

        return {
            "floor": (lambda mode: ours("floor") if mode == "run" else None),
            # Ingest, as far as the changes, and to its end: what the function `ingest` does.
            "ours_changes": (lambda mode: ours("changes") if mode == "run" else ours("prepare")),
            "ours_ingest": (lambda mode: ours("ingest") if mode == "run" else None),
            # What the function `janitor` does once all is delivered.
            "ours_fold": (lambda mode: ours("fold") if mode == "run" else None),
            "duckdb": theirs("duckdb_stored_history"),
            "duckdb_one_pass": theirs("duckdb_one_pass"),
            "polars": theirs("polars_stored_state"),
        }

    def measure(self, case, only=None):
        """Medians of one case, by contender."""
        snapshots = c.snapshots(case, self.cache / "snapshots", self.python, say)
        work = self.cache / "work" / case.name
        shutil.rmtree(work, ignore_errors=True)
        contenders = {name: command for name, command in self.contenders(snapshots, work).items() if not only or name in only}
        for folder in ("ours", "duckdb_stored_history", "duckdb_one_pass", "polars_stored_state"):
            (work / folder).mkdir(parents=True)
        prepared = {}
        for name, command in contenders.items():
            if prepare := command("prepare"):
                say(f"{case.name}: {name}: preparing the state that snapshot a left")
                prepared[name] = measure.run(prepare, self.threads).said
        if not prepared["ours_changes"]["folds"]:
            del contenders["ours_fold"]
        runs = {name: [] for name in contenders}
        order = list(contenders)
        for turn in range(self.repeat + 1):
            for name in order:
                done = measure.run(contenders[name]("run"), self.threads)
                # The first turn fills the page cache and does not count.
                if turn:
                    runs[name].append(done)
                say(f"{case.name}: {'warm-up' if not turn else f'{turn}/{self.repeat}'} {name:<16} {done.wall_s:6.2f} s {done.cpu_s:6.2f} s CPU {done.peak_mb:6.0f} MB")
            order = order[1:] + order[:1]
        agree(case, runs)
        shutil.rmtree(work, ignore_errors=True)
        return report.Result(case, self.threads, runs)


def agree(case, runs):
    """Ours are the changes that DuckDB finds; else the figures say nothing."""
    found = {name: {tuple(run.said[count] for count in COUNTS) for run in all_runs} for name, all_runs in runs.items() if all_runs and "adds" in all_runs[0].said}
    if len(set().union(*found.values())) > 1:
        raise measure.Failed(f"{case.name}: adds, updates and removals differ: {found}")


def chosen(arguments):
    every = {case.name: case for case in [*c.CASES, *c.FULL, *c.SMOKE, *(case for sweep in c.SWEEPS.values() for case in sweep)]}
    if arguments.cases:
        unknown = [name for name in arguments.cases if name not in every]
        if unknown:
            raise measure.Failed(f"no case {', '.join(unknown)}; there are {', '.join(every)}")
        return [every[name] for name in arguments.cases]
    return [*c.CASES, *(c.FULL if arguments.full else [])]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, type=Path, help="driftless-bench")
    parser.add_argument("--python", default=sys.executable, help="the Python that has DuckDB and Polars")
    parser.add_argument("--cache", required=True, help="where snapshots are kept")
    parser.add_argument("--repeat", type=int, default=5, help="runs that count")
    parser.add_argument("--threads", type=int, default=int(os.environ.get("DRIFTLESS_BENCH_THREADS") or 2))
    parser.add_argument("--full", action="store_true", help="the case of 50 M records too")
    parser.add_argument("--sweep", action="store_true", help="how cost grows, instead of the cases")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    bench, begun = Bench(arguments), time.monotonic()
    arguments.machine = report.machine(arguments.threads)
    say(arguments.machine)
    if arguments.sweep:
        for thing, sweep in c.SWEEPS.items():
            results = [bench.measure(case, only=("floor", "ours_changes", "ours_ingest", "ours_fold", "duckdb")) for case in sweep]
            say(report.growth(thing, results))
            for result in results:
                say(result.line())
            if arguments.docs:
                report.into_docs(f"growth {thing}", report.growth(thing, results), arguments)
    else:
        for case in chosen(arguments):
            result = bench.measure(case)
            say(result.table())
            say(result.line())
            if arguments.docs:
                report.into_docs(f"case {case.name}", result.table(), arguments)
    say(f"bench: {(time.monotonic() - begun) / 60:.1f} min")


if __name__ == "__main__":
    try:
        main()
    except measure.Failed as failed:
        print(f"bench: {failed}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
