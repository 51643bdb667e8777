"""What both forms of the job in DuckDB share."""

import json
import os
import time

import duckdb


class Job:
    def __init__(self, arguments):
        _, mode, self.snapshots, self.work = arguments
        self.prepares = mode == "prepare"
        self.connection = duckdb.connect(config={"threads": int(os.environ["DRIFTLESS_BENCH_THREADS"])})
        described = self.connection.execute(f"DESCRIBE FROM '{self.snapshots}/b/*.parquet'").fetchall()
        self.hash = f"hash({', '.join(name for name, *_ in described if name != 'email')})"

    def execute(self, sql, snapshot):
        history = f"'{self.work}/history.parquet'"
        self.connection.execute(sql.format(hash=self.hash, history=history, snapshot=f"'{self.snapshots}/{snapshot}/*.parquet'"))

    def copy(self, sql, snapshot, name):
        self.execute(f"COPY ({sql}) TO '{self.work}/{name}.parquet' (FORMAT parquet)", snapshot)

    def start(self):
        self.begun = time.perf_counter()

    def found(self):
        self.changes_s = time.perf_counter() - self.begun
        counted = self.connection.execute(f"SELECT op, count(*) FROM '{self.work}/changes.parquet' GROUP BY op")
        self.counts = dict(counted.fetchall())
        self.changed = bool(self.counts)
        self.resumed = time.perf_counter()

    def end(self):
        state_s = time.perf_counter() - self.resumed
        counts = {name: self.counts.get(op, 0) for name, op in (("adds", "add"), ("updates", "update"), ("removals", "remove"))}
        print(json.dumps(counts | {"changes_s": self.changes_s, "state_s": state_s}))
