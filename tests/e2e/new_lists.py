"""Strategy `new_list` on the deployed templates: a list is made, loaded and put in place of the old one, which is deleted."""

import json
import time

import demo_compare
from services import REST_TOKEN
from world import expect

DIRECTORY, SECRET, GROUP = "directory", "driftless-e2e-directory", "Newsletter"


def person(number, name="n"):
    return {"id": f"p{number:03}", "email": f"p{number}@example.com", "first_name": f"{name}{number}"}


def groups(remote):
    """The groups of the directory: id -> name."""
    return {group["id"]: group["displayName"] for group in demo_compare.get(remote, "/Groups").get("Resources", [])}


def names(remote):
    return set(demo_compare.scim_members(remote, GROUP))


def emails(rows):
    return {row["email"] for row in rows}


def describe(w):
    """Writes the destination and the sync; returns the parameters of its stack."""
    remote = w.state.start_remote("scim", [])
    secret = w.state.client("secretsmanager").create_secret(Name=SECRET, SecretString=REST_TOKEN)
    described = {
        "version": 1, "kind": "scim", "base_url": remote["url"], "auth": {"bearer": {"token": {"secret": SECRET}}}, "timeout": "5s",
        "group": {"create": True, "members_per_patch": 20}, "attributes": {"userName": "email", "name.givenName": "first_name"},
    }
    (w.project / "destinations" / f"{DIRECTORY}.yaml").write_text(json.dumps(described, indent=1))
    mapping = {"email": {"column": "email", "identifier": True, "normalize": "email"}, "first_name": "first_name"}
    w.write_sync("swap", destination=DIRECTORY, list=GROUP, strategy="new_list", mapping=mapping, guards={"max_removals": "100%"})
    return [f"SecretArns={secret['ARN']}", "ParkSeconds=2"]


def died(w):
    return sum(f"to-{DIRECTORY}" in event["function"] for event in w.proxy("GET", "/_arm")["fired"])


def takes_the_place_of_the_old_one(w):
    """Whoever looks at the group by its name sees the old list, then the new one; the worker dies when the new list was made, and
    again when a part of it was loaded."""
    begun, remote = time.monotonic(), w.state.known["scim"]
    first, second = [person(n) for n in range(60)], [*(person(n) for n in range(20, 60)), person(60), person(61)]
    w.snapshot("swap", first)
    w.run("swap")
    expect("the list that is configured is used first", (names(remote), list(groups(remote).values())), (emails(first), [GROUP]))
    (old,) = groups(remote)
    for nth in (1, 2):
        w.proxy("POST", "/_arm", {"target": "UpdateItem", "contains": "outcome", "function": f"to-{DIRECTORY}", "nth": nth, "act": "kill_after"})
    w.snapshot("swap", second)
    w.driftless("sync", "now", "swap")
    seen = []

    def over():
        found = names(remote)
        if found and found not in seen:
            seen.append(found)
        return w.status("swap")["last_run"]["adds"] == len(second) and not w.status("swap")["old_lists"]

    w.until("the new list is in place, and the old one gone", over, limit=300, on_wait=w.sweep)
    expect("workers that died", died(w), 2)
    found = groups(remote)
    expect("one list is left, under the name that people know", list(found.values()), [GROUP])
    expect("it is another one", old in found, False)
    seen += [look for look in [names(remote)] if look not in seen]
    expect("what is seen by that name now", sorted(seen[-1]), sorted(emails(second)))
    expect("nobody saw half a list", [look for look in seen if look not in (emails(first), emails(second))], [])
    run = w.runs("swap")[0]
    expect("its strategy", run["strategy"].split(":")[0], "new_list")
    # The next run goes by the new list.
    third = [*second[1:], person(70, name="m")]
    w.snapshot("swap", third)
    w.run("swap")
    w.until("the third list is in place", lambda: not w.status("swap")["old_lists"], on_wait=w.sweep)
    expect("the third list", (names(remote), list(groups(remote).values())), (emails(third), [GROUP]))
    explained = w.read("explain", "swap", "p000")
    expect("who left with the old list", explained["state"], "gone")
    looks = ", then ".join(str(len(look)) for look in seen)
    return f"{run['calls']} calls, 2 workers died, {looks} members seen by name, {time.monotonic() - begun:.0f} s"
