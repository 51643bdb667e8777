"""What is measured: pairs of snapshots, and the data of each, made once with DuckDB and kept in the cache."""

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Case:
    """Two snapshots of a list, the second in another row order."""

    name: str
    # Records of each snapshot.
    rows: int
    # Share of the list that leaves; as many enter.
    removed: float
    # Share of those that stay whose `ltv` is another.
    changed: float
    # Columns, the key included.
    width: int = 9
    # Part files of each snapshot.
    parts: int = 1

    @property
    def churn(self):
        """Records added, removed and changed, as a share of the list."""
        return round(2 * self.removed + (1 - self.removed) * self.changed, 5)


def of(name, rows, churn, **more):
    """Three tenths of the churn leave, as many enter, the rest changes."""
    return Case(name, rows, 0.3 * churn, 0.4 * churn / (1 - 0.3 * churn), **more)


M = 1_000_000
CASES = [
    of("1m-1", M, 0.01),
    of("10m-1", 10 * M, 0.01),
    of("10m-0", 10 * M, 0),
    # Nobody is as before: three tenths leave, all others change, and as many enter.
    Case("10m-100", 10 * M, 0.3, 1.0),
]
FULL = [of("50m-0.1", 50 * M, 0.001)]
# The bench's own check: seconds.
SMOKE = [of("smoke", 20_000, 0.01)]

# How cost grows: one thing at a time, the rest as in the first of each.
SWEEPS = {
    "rows": [of(f"rows-{n}m", n * M, 0.01) for n in (1, 2, 5, 10)],
    "columns": [of(f"columns-{n}", 2 * M, 0.01, width=n) for n in (2, 5, 9, 18, 36)],
    "churn": [of(f"churn-{100 * churn:g}", 2 * M, churn) for churn in (0, 0.001, 0.01, 0.05, 0.2)],
    "part files": [of(f"parts-{n}", 2 * M, 0.01, parts=n) for n in (1, 10, 100, 1000)],
}


def snapshots(case, cache, python, say):
    """The folder that holds `a` and `b` of a case: made if they are not there. Cases of one size share their `a`."""
    leaving = round(case.rows * case.removed)
    folder = cache / "cases" / case.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, first, changed, salt in (("a", 0, 0, ""), ("b", leaving, case.changed, "x")):
        one = {"rows": case.rows, "first": first, "changed": changed, "salt": salt, "width": case.width, "parts": case.parts}
        recipe = json.dumps(one) + (HERE / "snapshots.py").read_text(encoding="utf-8")
        made = cache / f"{case.rows}-{case.width}-{case.parts}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
        if not (made / "complete").exists():
            say(f"{case.name}: making snapshot {name} of {case.rows:,} records in {made}")
            subprocess.run([python, str(HERE / "snapshots.py"), json.dumps(one), str(made)], check=True, stdout=sys.stderr)
            (made / "complete").write_text(recipe, encoding="utf-8")
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(made / "files")
    return folder
