"""Makes one snapshot, `files/*.parquet` below a folder. Usage: snapshots.py SNAPSHOT_AS_JSON FOLDER."""

import json
import math
import shutil
import sys
from pathlib import Path

import duckdb

# Nine columns of a customer list; every value follows from the record's number.
COLUMNS = [
    ("email", "'user' || i || '@' || (['gmail.com', 'yahoo.com', 'outlook.com', 'example.org'])[1 + (hash(i) % 4)::INT]"),
    ("ltv", "(hash(i * 13) % 100000) / 100.0"),
    ("first_name", "'F' || (hash(i * 3) % 5000)"),
    ("last_name", "'L' || (hash(i * 5) % 50000)"),
    ("phone", "'+1' || (2000000000 + hash(i * 7) % 7999999999)"),
    ("city", "(['Seattle', 'Louisville', 'Austin', 'Boston', 'Denver', 'Paris', 'Berlin', 'Tokyo'])[1 + (hash(i * 11) % 8)::INT]"),
    ("days_since_order", "(hash(i * 17) % 365)::INT"),
    ("opted_in", "hash(i * 19) % 2 = 0"),
    ("last_seen", "TIMESTAMP '2025-01-01' + INTERVAL (hash(i * 23) % 30000000) SECOND"),
]


def columns(width):
    """The first `width` columns; beyond nine, the eight that are not the key again, with other values."""
    made = list(COLUMNS[:width])
    while len(made) < width:
        name, expression = COLUMNS[1 + (len(made) - 1) % 8]
        made.append((f"{name}_{len(made)}", expression.replace("i *", f"i * {2 * len(made) + 1} *")))
    return made


def main(snapshot, folder):
    rows, first = snapshot["rows"], snapshot["first"]
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "6GB", "temp_directory": str(folder / "sorting")})
    # Who has another value than before is drawn from the record's number.
    share = round(snapshot["changed"] * 1_000_000)
    changed = "CASE WHEN hash(i * 31) % 1000000 < {0} THEN {1} + 1 ELSE {1} END"
    made = [f"{changed.format(share, e) if n == 'ltv' else e} AS {n}" for n, e in columns(snapshot["width"])]
    source = f"(SELECT {', '.join(made)} FROM range({first}, {first + rows}) t(i)) ORDER BY hash(email || '{snapshot['salt']}')"
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(parents=True)
    settings = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {min(max(rows // 10, 2048), 1_000_000)}"
    parts = snapshot["parts"]
    if parts == 1:
        connection.execute(f"COPY (FROM {source}) TO '{files}/part-00000.parquet' ({settings})")
    else:
        connection.execute(f"CREATE TEMP TABLE snapshot AS FROM {source}")
        size = math.ceil(rows / parts)
        for part in range(parts):
            rows_of_it = f"FROM snapshot WHERE rowid >= {part * size} AND rowid < {(part + 1) * size}"
            connection.execute(f"COPY ({rows_of_it}) TO '{files}/part-{part:05}.parquet' ({settings})")
    shutil.rmtree(folder / "sorting", ignore_errors=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), Path(sys.argv[2]))
