"""Every kind of destination and every recipe on the deployed templates, each on the stub of its vendor (tests/stubs), with the
configuration that docs/destinations.md shows: only the addresses are changed."""

import hashlib
import json
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import new_lists
import stacks
from services import STUB_SECRET, STUB_SIGNING_SECRET
from world import ROOT, STAGE, expect, note


def digest(text):
    return hashlib.sha256(text.lower().encode()).hexdigest()


@dataclass(frozen=True)
class Kind:
    """A kind, or a recipe: what its sync says, and what its list then holds of a person."""

    name: str
    list: str
    fields: dict
    # The name and the value of a member.
    member: object
    # Where the API begins, below the stub.
    root: str = ""
    # What the example leaves out and the stub needs.
    more: dict = field(default_factory=dict)
    # Accepts first, and tells later.
    asynchronous: bool = False
    lists: bool = False

    def recipe(self):
        return f"{self.name}@1"


def by_email(person):
    return person["email"], person["first_name"]


def by_digest(person):
    return digest(person["email"]), ""


def email(normalize):
    return {"column": "email", "identifier": True, "normalize": normalize}


KINDS = [
    Kind(
        "meta", "77", {"email": email("meta.email@1"), "name": {"column": "first_name", "normalize": "meta.first_name@1"}},
        lambda person: (digest(person["email"]), digest(person["first_name"])), more={"keys": {"EMAIL": "email", "FN": "name"}},
    ),
    Kind("google_data_manager", "55", {"email": email("google.email@1")}, by_digest, asynchronous=True),
    Kind("klaviyo", "L1", {"email": email("klaviyo.email@1"), "first_name": "first_name"}, by_email, asynchronous=True, lists=True),
    Kind("hubspot", "news", {"email": email("hubspot.email@1"), "firstname": "first_name"}, by_email, lists=True),
    Kind("webhook", "news", {"email": email("plain.email@1"), "first_name": "first_name"}, by_email, root="/hooks/driftless"),
    Kind("mailchimp", "9e67587f52", {"email": email("mailchimp.email@1"), "first_name": "first_name"}, by_email, root="/3.0"),
    Kind("iterable", "17", {"email": email("iterable.email@1"), "first_name": "first_name"}, by_email, root="/api"),
    Kind("linkedin", "9e67587f52", {"email": email("linkedin.email@1")}, by_digest, root="/rest"),
    Kind("tiktok", "9e67587f52", {"email": email("tiktok.email@1")}, by_digest, root="/open_api/v1.3"),
    Kind("braze", "in_news", {"external_id": {"column": "email", "identifier": True}, "first_name": "first_name"}, by_email),
]


def person(number, mail=None, name="n"):
    return {"id": f"p{number:03}", "email": f"{mail or f'p{number}'}@example.com", "first_name": f"{name}{number}"}


# Some leave, some enter, one has another address, one another name, one takes over the address of one who left; then the one with
# the new address leaves, and one comes back.
FIRST = [person(n) for n in range(30)]
SECOND = [*(person(n) for n in range(4, 27)), person(27, mail="new27"), person(28, name="m"), person(29, mail="p1"), person(30), person(31)]
THIRD = [person(0), *(p for p in SECOND if p["id"] not in ("p027", "p030")), person(32)]


def example(kind):
    """The configuration that docs/destinations.md shows for a kind."""
    import yaml

    text = (ROOT / "docs/destinations.md").read_text()
    found = re.search(rf"^## `{kind.name}(?:@1)?`.*?```yaml\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return yaml.safe_load(found[1])


def secrets(value):
    """The secrets that a configuration names."""
    if isinstance(value, dict):
        named = [value["secret"]] if isinstance(value.get("secret"), str) else []
        return named + [name for inner in value.values() for name in secrets(inner)]
    return [name for inner in value for name in secrets(inner)] if isinstance(value, list) else []


class Stub:
    """The stub of a kind, as a test sees it."""

    def __init__(self, url, kind):
        self.base, self.root, self.at = f"{url}/{kind.name}", f"{url}/{kind.name}{kind.root}", f"{url}/control/{kind.name}"

    def ask(self, method="GET", path="", body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.at + path, data=data, method=method), timeout=30) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def members(self):
        return self.ask()["members"]


def describe(w, kind, stub):
    """Writes the destination as the documentation shows it, with its secrets; returns the parameters of its stack."""
    shown = {**example(kind), **kind.more, "base_url": stub.root}
    if kind.name == "google_data_manager":
        shown["auth"]["oauth2_refresh_token"]["token_url"] = f"{stub.base}/token"
    arns, values = [], {}
    for name in secrets(shown):
        secret, _, part = name.partition("#")
        value = STUB_SIGNING_SECRET if kind.name == "webhook" else STUB_SECRET
        values[secret] = {**values.get(secret, {}), part: value} if part else value
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        arns.append(w.state.client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"])
    (w.project / "destinations" / f"{kind.name}.yaml").write_text(json.dumps(shown, indent=1))
    return [f"SecretArns={','.join(arns)}", "ParkSeconds=2"]


def keeps_its_list(w, kind, stub):
    """Three snapshots; a request of the first run is throttled, an answer of the second is lost after it was applied."""
    begun, calls = time.monotonic(), 0
    for rows, fault in ((FIRST, "throttle"), (SECOND, "lose_answer"), (THIRD, None)):
        if fault:
            stub.ask("POST", "/fault", {"fault": fault})
        w.snapshot(kind.name, rows)
        w.driftless("sync", "now", kind.name)
        # A destination may ask for a wait that is longer than a message is kept waiting; then the run parks.
        w.until("the run is committed", lambda: is_through(w, kind.name), on_wait=w.sweep, every=20)
        expect("the list", stub.members(), dict(map(kind.member, rows)))
        calls += nothing_is_open(w, kind.name)
    told = stub.ask()
    expect("faults that were met", told["faults"], 2)
    expect("who came back", w.read("explain", kind.name, "p000")["state"], "in_sync")
    expect("who left", w.read("explain", kind.name, "p027")["state"], "gone")
    if kind.asynchronous:
        accepted_is_asked_for_later(w, kind)
    if kind.name == "webhook":
        was_told(told["events"])
    if kind.lists:
        changed_by_somebody_else(w, kind, stub)
    return f"{calls} calls, {len(stub.ask()['requests'])} requests, {time.monotonic() - begun:.0f} s"


def is_through(w, name):
    s = w.status(name)
    return s["run"] is None and not s["pending_changes"]


def nothing_is_open(w, name):
    """What `status` says after a run; the calls of that run."""
    s = w.status(name)
    idle = {"run": None, "pending_changes": 0, "rejected": 0, "quarantined": 0, "held": [], "attention": None, "refused_snapshot": None}
    expect("status", {key: s[key] for key in idle}, idle)
    last = s["last_run"]
    expect("the run", {key: last[key] for key in ("rejected", "unknown", "undelivered", "unnamed")}, dict.fromkeys(("rejected", "unknown", "undelivered", "unnamed"), 0))
    return last["calls"]


def accepted_is_asked_for_later(w, kind):
    """A worker let go of a call whose job had not ended: the next one came by a message of the deployed queue, and asked."""
    told = w.logged(f"to-{kind.name}", "call worked on")
    expect("a worker that left a job to the next", any("Accepted" in line for line in told), True)


def was_told(received):
    """The receiver heard of every removal by the address that it was sent, and before anything else of that record. What came again,
    because its answer was lost, came under the same id with the same content."""
    once = {e["id"]: e["event"] for e in received}
    expect("events that came again", len(received) - len(once), 1)
    expect("those of one id are the same", [e["id"] for e in received if once[e["id"]] != e["event"]], [])
    told = [(e["type"].rsplit(".", 1)[-1], r["identifiers"]["email"]) for e in once.values() for r in e["data"]["records"] if r["key"] == "p027"]
    old, new = ["p27@example.com"], ["new27@example.com"]
    expect("events of who changed the address", told, [("added", old), ("removed", old), ("added", new), ("removed", new)])
    removed = [r for e in once.values() if e["type"].endswith("removed") for r in e["data"]["records"]]
    expect("no values go out with a removal", [r for r in removed if "fields" in r], [])


def changed_by_somebody_else(w, kind, stub):
    """Somebody takes a member out, puts one back who left, and adds a stranger; a comparison finds them, and corrects the first two."""
    stub.ask("PUT", "/members", {"put": {"p2@example.com": "n2", "stranger@example.com": "?"}, "take": ["p5@example.com"]})
    found = w.read("reconcile", kind.name, "--dry-run")["drift"]
    drift = {key: found[key] for key in ("missing", "strays", "strangers")}
    expect("the drift", drift, {"missing": 1, "strays": 1, "strangers": 1})
    w.driftless("reconcile", kind.name)
    wanted = {**dict(map(kind.member, THIRD)), "stranger@example.com": "?"}
    w.until("the list is corrected", lambda: set(stub.members()) == set(wanted) and w.status(kind.name)["run"] is None, on_wait=w.sweep)
    nothing_is_open(w, kind.name)


def every_kind_keeps_its_list(w):
    """Ten kinds and recipes at once, each with its own stack, sync and list, and beside them a list that takes another's place:
    most of the time they wait."""
    url = w.state.start_remote("stubs", [])["url"]
    kinds = [(kind, Stub(url, kind)) for kind in KINDS]
    wishes = {kind.name: describe(w, kind, stub) for kind, stub in kinds} | {new_lists.DIRECTORY: new_lists.describe(w)}
    begun = time.monotonic()
    stacks.connectors(w.state, STAGE, list(wishes), wishes.get)
    note(f"{len(wishes)} stacks deployed in {time.monotonic() - begun:.0f} s")
    for kind, _ in kinds:
        more = {"dataset": f"acme/{kind.name}", "mapping": kind.fields, "guards": {"max_removals": "100%"}}
        w.write_sync(kind.name, destination=kind.name, list=kind.list, **more)
    w.driftless("apply", "--yes")
    plays = {kind.name: lambda pair=(kind, stub): keeps_its_list(w, *pair) for kind, stub in kinds}
    plays["a new list"] = lambda: new_lists.takes_the_place_of_the_old_one(w)

    def outcome(name):
        try:
            return plays[name]()
        except Exception as error:  # noqa: BLE001  each on its own
            return error

    with ThreadPoolExecutor(len(plays)) as pool:
        outcomes = dict(zip(plays, pool.map(outcome, plays)))
    for name, found in outcomes.items():
        note(f"{name}: {found}")
    failed = [name for name, found in outcomes.items() if isinstance(found, Exception)]
    expect("failed", failed, [])


SCENARIOS = [every_kind_keeps_its_list]
