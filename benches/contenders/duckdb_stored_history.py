"""DuckDB: snapshot b against a stored history of a, (key, hash of the rest); then the new history.

Usage: duckdb_stored_history.py prepare|run SNAPSHOTS WORK. Prints what it found as JSON.
"""

import sys

from duck import Job

job = Job(sys.argv)
HISTORY = "SELECT email, {hash} AS h FROM {snapshot}"
if job.prepares:
    job.copy(HISTORY, "a", "history")
else:
    job.start()
    job.copy(
        """SELECT coalesce(old.email, new.email) AS email, new.h,
             CASE WHEN old.email IS NULL THEN 'add' WHEN new.email IS NULL THEN 'remove' ELSE 'update' END AS op
           FROM {history} old FULL OUTER JOIN (SELECT email, {hash} AS h FROM {snapshot}) new ON old.email = new.email
           WHERE old.email IS NULL OR new.email IS NULL OR old.h <> new.h""",
        "b",
        "changes",
    )
    job.found()
    if job.changed:
        job.copy(HISTORY, "b", "next")
    job.end()
