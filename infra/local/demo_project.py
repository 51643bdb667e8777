"""The project files of the demo: a sync and a destination, as a user would write them."""

import json

TENANT_DATASET = "acme/customers"
SYNC = "customers"
DESTINATION = "directory"
SECRET = "driftless-demo-token"
# One expression, given to Driftless and, for the comparison at the end, to DuckDB.
SELECTION = "consent AND country IN ('DE', 'FR', 'ES', 'IT', 'NL')"

SCIM = """\
version: 1
kind: scim
description: The customers' group in the company's directory
base_url: {url}
auth:
  bearer:
    token:
      secret: {secret}
timeout: 60s
mode: group
group:
  create: true
  # This server offers 1,000 operations in one /Bulk, and searches a group from its start for each single removal.
  members_per_patch: 1000
  removal: replace
attributes:
  userName: email
  name.givenName: first_name
  name.familyName: last_name
"""

SCIM_SYNC = """\
version: 1
description: Customers in the euro area who agreed to be contacted
dataset: {dataset}
key: customer_id
selection:
  where: {selection}
mapping:
  email: {{ column: email, identifier: true, normalize: email }}
  first_name: first_name
  last_name: last_name
destination: {destination}
list: Newsletter
schedule:
  on_change:
    min_changes: 1
"""

REST = """\
version: 1
kind: rest
description: A list behind a plain JSON API
base_url: {url}
auth:
  bearer:
    token:
      secret: {secret}
batch:
  records: 500
answer:
  results:
    by_position:
      items: /results
      code: /status
      reason: /code
add:
  method: POST
  path: /lists/{{{{ list }}}}/members
  body:
    json:
      records:
        $each_record: "{{{{ record.fields }}}}"
update:
  method: PUT
  path: /lists/{{{{ list }}}}/members
  body:
    json:
      records:
        $each_record: "{{{{ record.fields }}}}"
remove:
  method: POST
  path: /lists/{{{{ list }}}}/members/remove
  body:
    json:
      records:
        $each_record: "{{{{ record.identifiers }}}}"
list:
  path: /lists/{{{{ list }}}}/members
  query:
    cursor: "{{{{ cursor | default(omit) }}}}"
  items: /records
  identifiers:
    {identifier}: {pointer}
  next:
    cursor: /next
"""


def write(folder, system, remote, key=None, columns=()):
    """Writes the project; `key` and `columns` are those of the user's own files."""
    for name in ("destinations", "syncs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    destination = folder / "destinations" / f"{DESTINATION}.yaml"
    sync = folder / "syncs" / f"{SYNC}.yaml"
    if system == "scim":
        destination.write_text(SCIM.format(url=remote["url"], secret=SECRET))
        sync.write_text(SCIM_SYNC.format(dataset=TENANT_DATASET, destination=DESTINATION, selection=json.dumps(SELECTION)))
        return
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    names = {"identifier": json.dumps(key), "pointer": json.dumps(pointer)}
    destination.write_text(REST.format(url=remote["url"], secret=SECRET, **names))
    # JSON is YAML, and quotes any name of a column as it must be.
    mapping = {key: {"column": key, "identifier": True}} | {column: column for column in columns}
    sync.write_text(
        json.dumps(
            {
                "version": 1,
                "dataset": TENANT_DATASET,
                "key": key,
                "mapping": mapping,
                "destination": DESTINATION,
                "list": "members",
                "schedule": {"on_change": {"min_changes": 1}},
                # The files are what is wanted, however much they differ.
                "guards": {"max_removals": "100%"},
            },
            indent=2,
        )
    )
