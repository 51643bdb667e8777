"""Who enters, changes and leaves between two snapshots, as DuckDB works it out."""

import duckdb

from tables import COLUMNS, KEY

# What DuckDB cannot compare exactly.
UNKNOWN = {"decimal_76": "DuckDB reads it as a double"}
# A map is the set of its entries; to DuckDB it is the list of them.
SORTED = {name: f'list_sort(map_entries("{name}"))' for name in COLUMNS if name.startswith("map")}


def changes(old, new, key, values, source="dataset"):
    """The keys that enter, change and leave. `values` are SQL expressions; `source` is where they and the key come from."""
    connection = duckdb.connect(config={"threads": 2})
    for side, file in (("old", old), ("new", new)):
        selected = source.replace("dataset", f"read_parquet('{file}')")
        columns = ", ".join(f"{value} AS v{n}" for n, value in enumerate(values))
        connection.execute(f"CREATE TEMP TABLE {side} AS SELECT {key} AS k, {columns} FROM {selected}")
    differs = " OR ".join(f"old.v{n} IS DISTINCT FROM new.v{n}" for n in range(len(values)))

    def keys(sql):
        return [k for (k,) in connection.execute(f"SELECT k FROM ({sql}) ORDER BY k").fetchall()]

    return {
        "adds": keys("SELECT k FROM new ANTI JOIN old USING (k)"),
        "updates": keys(f"SELECT new.k FROM new JOIN old USING (k) WHERE {differs}"),
        "removals": keys("SELECT k FROM old ANTI JOIN new USING (k)"),
    }


def expression(name):
    return SORTED.get(name, f'"{name}"')


def known(columns):
    return [name for name in columns if name not in UNKNOWN and name != KEY]


# Debian's package index: key, the selection as configured, and the same as DuckDB is asked for it.
ALL = ["version", "section", "priority", "maintainer", "maintainer_email", "installed_kib", "size_bytes", "homepage", "description", "depends"]
DERIVED = "SELECT package, lower(maintainer_email) AS mail, installed_kib / 1024 AS mib, depends FROM dataset WHERE priority <> 'optional' OR section LIKE 'lib%'"
DUCK_DERIVED = DERIVED.replace("installed_kib / 1024", "installed_kib // 1024")
DEBIAN = [
    ("every package, every column", {}, ALL, "dataset"),
    ("section = 'python'", {"where": "section = 'python'"}, ["maintainer_email", "version"], "(FROM dataset WHERE section = 'python')"),
    ("columns worked out in SQL", {"sql": DERIVED}, ["mail", "mib", "depends"], f"({DUCK_DERIVED})"),
]


def debian(folder):
    """The changes from bullseye to bookworm under three selections."""
    old, new = folder / "bullseye.parquet", folder / "bookworm.parquet"
    for name, selection, columns, source in DEBIAN:
        found = changes(old, new, "package", [f'"{c}"' for c in columns], source)
        yield {"name": f"Debian, {name}", "old": str(old), "new": str(new), "key": "package", "columns": columns, **selection, **found}
