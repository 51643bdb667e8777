"""Reads the remote list back, and works out independently, with DuckDB, what it should be."""

import datetime
import decimal
import json
import urllib.parse
import urllib.request

import demo_project


def get(remote, path):
    request = urllib.request.Request(remote["url"] + path, headers={"Authorization": f"Bearer {remote['token']}"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.load(reply)


def scim_members(remote, group):
    """The members of a group: userName -> (given name, family name)."""
    found = get(remote, "/Groups?" + urllib.parse.urlencode({"filter": f'displayName eq "{group}"'}))["Resources"]
    if not found:
        return {}
    members = {member["value"] for member in get(remote, f"/Groups/{found[0]['id']}").get("members", [])}
    people, start = {}, 1
    while True:
        page = get(remote, f"/Users?startIndex={start}&count=1000")
        for user in page.get("Resources", []):
            if user["id"] in members:
                name = user.get("name", {})
                people[user["userName"]] = (name.get("givenName"), name.get("familyName"))
                members.discard(user["id"])
        start += len(page.get("Resources", []))
        if start > page["totalResults"] or not page.get("Resources"):
            break
    # A member without a user would be a dangling reference: it must not vanish from the comparison.
    people.update({f"(no user) {identifier}": None for identifier in members})
    return people


def scim_selection(file):
    import duckdb

    rows = duckdb.execute(
        f"SELECT lower(trim(email)), first_name, last_name FROM read_parquet(?) WHERE {demo_project.SELECTION}", [str(file)]
    ).fetchall()
    return {email: (first, last) for email, first, last in rows}


def rest_members(remote, name):
    return get(remote, f"/_control/list/{name}")["records"]


def columns(file):
    """The columns that have one value a row, in the order of the file."""
    import duckdb

    described = duckdb.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(file)]).fetchall()
    return [name for name, kind, *_ in described if not any(mark in kind for mark in ("[", "STRUCT", "MAP", "UNION"))]


def rest_selection(file, key, names):
    """Every row that has a key, by the text of its key; of several rows with one key, all that may be right."""
    import duckdb

    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in names)
    rows = duckdb.execute(f"SELECT {quoted} FROM read_parquet(?)", [str(file)]).fetchall()
    wanted = {}
    for row in rows:
        record = dict(zip(names, row))
        if record[key] is not None and record[key] != "":
            wanted.setdefault(text(record[key]), []).append(record)
    return wanted


def text(value):
    """A value as an identifier is written."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return str(value)


def same(wanted, found):
    """Whether what the list holds is the value of the file. JSON has fewer types than Parquet."""
    if wanted is None or found is None:
        return wanted is None and found is None
    if isinstance(wanted, bool) or isinstance(found, bool):
        return wanted == found
    if isinstance(wanted, float) and wanted != wanted:
        return True
    if isinstance(wanted, (int, float, decimal.Decimal)):
        try:
            return decimal.Decimal(str(found)) == decimal.Decimal(str(wanted))
        except decimal.InvalidOperation:
            return False
    if isinstance(wanted, datetime.datetime):
        try:
            seen = datetime.datetime.fromisoformat(str(found).replace("Z", "+00:00"))
        except ValueError:
            return False
        utc = datetime.timezone.utc
        return (seen if seen.tzinfo else seen.replace(tzinfo=utc)) == (wanted if wanted.tzinfo else wanted.replace(tzinfo=utc))
    if isinstance(wanted, bytes):
        return True
    return str(found) == str(wanted)


def rest_differences(wanted, found):
    """How many records are missing, too many, and different."""
    missing = sum(1 for key in wanted if key not in found)
    extra = sum(1 for key in found if key not in wanted)
    different = sum(
        1
        for key, candidates in wanted.items()
        if key in found and not any(all(same(value, found[key].get(name)) for name, value in row.items()) for row in candidates)
    )
    return missing, extra, different


def scim_differences(wanted, found):
    missing = sum(1 for key in wanted if key not in found)
    extra = sum(1 for key in found if key not in wanted)
    return missing, extra, sum(1 for key in wanted if key in found and wanted[key] != found[key])
