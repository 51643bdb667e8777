#!/usr/bin/env python3
"""Writes one random table with every writer, and a later state of it; works out with DuckDB what changed. For the test
`writers` of the package driftless-tests, which reads `manifest.json`.

Usage: write.py FOLDER SEED [DEBIAN], where DEBIAN holds the package index of two Debian releases.
"""

import json
import sys
from pathlib import Path

import tables
import truth
import writers

ROWS = 240


def main(folder, seed, debian):
    old = tables.rows(tables.seeded(seed, "old"), ROWS)
    new = tables.changed(tables.seeded(seed, "new"), old)
    reference = writers.LAYOUTS[0]
    files = []
    for number, layout in enumerate(writers.LAYOUTS):
        writer, name, _, lacks = layout
        shuffle = tables.seeded(seed, "shuffle", number)
        paths = {"old": folder / f"{number:02}-old.parquet", "new": folder / f"{number:02}-new.parquet"}
        for state, made in (("old", old), ("new", new)):
            told = made if layout is reference else list(tables.otherwise(shuffle, made))
            columns = writers.write(layout, tables.shuffled(shuffle, told), paths[state])
        files.append({
            "writer": f"{writer} {writers.VERSIONS[writer]}", "layout": name, "columns": columns,
            "lacks": writers.LACKS[writer] | lacks, **{state: str(path) for state, path in paths.items()},
        })
    known = truth.known(tables.COLUMNS)
    of = {"old": files[0]["old"], "new": files[0]["new"]}
    changesets = []
    for name, columns in [("every column", known), *((column, [column]) for column in known)]:
        found = truth.changes(of["old"], of["new"], tables.KEY, [truth.expression(c) for c in columns])
        changesets.append({"name": name, "columns": columns, **found})
    real = list(truth.debian(debian)) if debian else []
    manifest = {"key": tables.KEY, "files": files, "changesets": changesets, "unknown": truth.UNKNOWN, "debian": real}
    (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]) if len(sys.argv) > 3 else None)
