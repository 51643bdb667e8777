"""DuckDB in one pass over snapshot b: hashed keys in the history, the new state kept in memory until it is written.

Usage: duckdb_one_pass.py prepare|run SNAPSHOTS WORK. Prints what it found as JSON.
"""

import sys

from duck import Job

job = Job(sys.argv)
STATE = "SELECT hash(email) AS k, {hash} AS h, email FROM {snapshot}"
if job.prepares:
    job.copy(STATE, "a", "history")
else:
    job.start()
    job.execute("CREATE TEMP TABLE new AS " + STATE, "b")
    job.copy(
        """SELECT coalesce(new.email, old.email) AS email, new.h,
             CASE WHEN old.k IS NULL THEN 'add' WHEN new.k IS NULL THEN 'remove' ELSE 'update' END AS op
           FROM {history} old FULL OUTER JOIN new ON old.k = new.k
           WHERE old.k IS NULL OR new.k IS NULL OR old.h <> new.h""",
        "b",
        "changes",
    )
    job.found()
    if job.changed:
        job.copy("FROM new", "b", "next")
    job.end()
