"""A real list that changes: the packages of two Debian releases, `section = 'python'`."""

import os
from pathlib import Path

from world import ROOT, Trouble, equal, expect, note

SELECTION = {"where": "section = 'python'"}


def folder():
    data = os.environ.get("DRIFTLESS_TEST_DATA")
    found = Path(data) / "debian" if data else None
    return found if found and found.is_dir() else None


def truth(file, columns):
    """The selection as DuckDB works it out."""
    import duckdb

    rows = duckdb.connect().execute(f"SELECT {', '.join(columns)} FROM read_parquet(?) WHERE section = 'python'", [str(file)]).fetchall()
    return [{c: v for c, v in zip(columns, row) if v is not None} for row in rows]


def by_operation(entries):
    found = {}
    for e in entries:
        records, calls = found.get(e["op"], (0, 0))
        found[e["op"]] = (records + e["records"], calls + 1)
    return found


def the_package_list_changes(w):
    """bullseye, then bookworm: 3,810 adds in 8 calls; then 943 adds, 3,234 updates, 209 removals in 2 + 7 + 1 calls."""
    data = folder()
    if not data:
        note("skipped: DRIFTLESS_TEST_DATA is not set")
        return
    columns = ["package", "maintainer_email", "version"]
    w.sync("debian", key="package", selection=SELECTION, mapping={"package": {"column": "package", "identifier": True}, "maintainer_email": "maintainer_email", "version": "version"})
    w.take_up("debian", data / "bullseye.parquet")
    w.run("debian")
    expect("bullseye", by_operation(w.log("debian")), {"add": (3810, 8)})
    before = len(w.log("debian"))
    w.take_up("debian", data / "bookworm.parquet")
    w.run("debian")
    expect("bookworm", by_operation(w.log("debian")[before:]), {"remove": (209, 1), "update": (3234, 7), "add": (943, 2)})
    wanted = truth(data / "bookworm.parquet", columns)
    expect("bookworm's packages", len(wanted), 4544)
    equal(w, "debian", wanted, "package")
    note("3,810 adds in 8 calls; then 943 adds, 3,234 updates, 209 removals in 2 + 7 + 1 calls; 4,544 records, equal")


def a_shared_identifier_and_lost_answers(w):
    """`maintainer_email` identifies: many packages share one. Every fifth answer is lost. The list still ends equal."""
    data = folder()
    if not data:
        note("skipped: DRIFTLESS_TEST_DATA is not set")
        return
    # Few addresses: small calls, so that there are enough of them to lose answers.
    w.destination(records=25)
    # A run by hand follows each snapshot; removals of shared addresses are no accident here.
    w.sync("maintainers", key="package", selection=SELECTION, guards={"max_removals": "100%"}, mapping={"maintainer_email": {"column": "maintainer_email", "identifier": True}, "version": "version"})
    w.faults(lose_answer={"every": 5})
    for release in ("bullseye", "bookworm"):
        w.take_up("maintainers", data / f"{release}.parquet")
        w.run("maintainers", codes=(0, 3))
        w.idle("maintainers")
    w.faults()
    w.run("maintainers", codes=(0, 3))
    w.idle("maintainers")
    wanted = {}
    for row in truth(data / "bookworm.parquet", ["maintainer_email", "version"]):
        wanted.setdefault(row["maintainer_email"], set()).add(row["version"])
    found = w.members("maintainers")
    expect("addresses", sorted(found), sorted(wanted))
    strange = [k for k, r in found.items() if r["version"] not in wanted[k]]
    if strange:
        raise Trouble(f"{len(strange)} records carry a value that bookworm does not have")
    log = w.log("maintainers")
    lost = sum(e["status"] == 0 for e in log)
    expect("every fifth answer was lost", lost >= len(log) // 6 > 0, True)
    note(f"{len(found)} addresses of {sum(map(len, wanted.values()))} values, equal; {len(log)} calls, {lost} answers lost")
    w.destination()
    w.driftless("apply", "--yes")


SCENARIOS = [the_package_list_changes, a_shared_identifier_and_lost_answers]
assert ROOT
