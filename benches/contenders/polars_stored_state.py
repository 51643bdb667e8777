"""Polars, streaming: snapshot b against a stored state of a, (key, hash of the rest), leaving the next one.

Usage: polars_stored_state.py prepare|run SNAPSHOTS WORK. Prints what it found as JSON.
"""

import json
import os
import sys
import time

os.environ["POLARS_MAX_THREADS"] = os.environ["DRIFTLESS_BENCH_THREADS"]
import polars as pl  # noqa: E402  the number of threads is read at import

_, mode, snapshots, work = sys.argv


def state(snapshot):
    scanned = pl.scan_parquet(f"{snapshots}/{snapshot}/*.parquet")
    rest = [name for name in scanned.collect_schema().names() if name != "email"]
    return scanned.select("email", pl.struct(rest).hash().alias("h"))


if mode == "prepare":
    state("a").sink_parquet(f"{work}/history.parquet")
else:
    begun = time.perf_counter()
    old, new = pl.scan_parquet(f"{work}/history.parquet"), state("b")
    joined = old.join(new, on="email", how="full", suffix="_new")
    gone, entered = pl.col("email_new").is_null(), pl.col("email").is_null()
    op = pl.when(entered).then(pl.lit("add")).when(gone).then(pl.lit("remove")).otherwise(pl.lit("update"))
    changes = joined.filter(entered | gone | (pl.col("h") != pl.col("h_new"))).select(
        pl.coalesce("email", "email_new").alias("email"), pl.col("h_new").alias("h"), op.alias("op")
    )
    changes.sink_parquet(f"{work}/changes.parquet", engine="streaming")
    changes_s = time.perf_counter() - begun
    counted = pl.scan_parquet(f"{work}/changes.parquet").group_by("op").len().collect()
    counts = dict(counted.iter_rows())
    resumed = time.perf_counter()
    if counts:
        new.sink_parquet(f"{work}/next.parquet", engine="streaming")
    state_s = time.perf_counter() - resumed
    named = {name: counts.get(op, 0) for name, op in (("adds", "add"), ("updates", "update"), ("removals", "remove"))}
    print(json.dumps(named | {"changes_s": changes_s, "state_s": state_s}))
