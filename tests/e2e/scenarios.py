"""What a user relies on, each on the deployed templates."""

from datetime import datetime

from world import DESTINATION, DROP, Trouble, equal, expect, note, people, write_parquet


def happy_path_and_replayed_event(w):
    """Adds, updates and removals arrive; the same snapshot again makes no call and one table write."""
    w.sync("happy")
    w.snapshot("happy", people(range(600)))
    w.run("happy")
    equal(w, "happy", people(range(600)))
    expect("calls", sorted(e["records"] for e in w.log("happy")), [100, 500])
    after = people(range(50, 600)) + people(range(700, 705))
    after[0] = {**after[0], "name": "changed"}
    key = w.snapshot("happy", after)
    w.run("happy")
    equal(w, "happy", after)
    expect("operations", sorted((e["op"], e["records"]) for e in w.log("happy")[2:]), [("add", 5), ("remove", 50), ("update", 1)])
    w.idle("happy")
    calls = len(w.log("happy"))
    w.proxy("DELETE", "/_counts")
    w.snapshot("happy", after)
    w.run("happy")
    w.idle("happy")
    counts = w.proxy("GET", "/_counts")
    writes = sum(o["items"] for f, ops in counts.items() if "ingest" in f for o in ops.values())
    expect("table writes of the repeated snapshot", writes, 1)
    expect("calls of the repeated snapshot", len(w.log("happy")), calls)
    # The event of the older object again, by hand: dropped.
    before = w.status("happy")["version"]
    body = {"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": w.state.known["bucket"]}, "object": {"key": key, "size": 1, "eTag": "x", "sequencer": "00"}}}]}
    w.sqs.send_message(QueueUrl=w.queue("ingest"), MessageBody=__import__("json").dumps(body))
    w.idle("happy")
    expect("version after a replayed event", w.status("happy")["version"], before)


def lost_event_is_healed_by_a_tick(w):
    """A snapshot whose event never came is taken up by the next tick."""
    w.sync("lost")
    w.snapshot("lost", people(range(10)))
    w.run("lost")
    functions = w.state.client("lambda")
    source = next(m for m in functions.list_event_source_mappings()["EventSourceMappings"] if m["EventSourceArn"].endswith("-ingest"))
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=False)
    file = w.state.folder / "lost.parquet"
    write_parquet(file, people(range(5, 12)))
    w.upload(file, "acme/lost")
    queue = w.queue("ingest")
    w.until("the event is in the queue", lambda: w.sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]["ApproximateNumberOfMessages"] != "0")
    w.sqs.purge_queue(QueueUrl=queue)
    functions.update_event_source_mapping(UUID=source["UUID"], Enabled=True)
    w.send("planner", {"kind": "plan", "sync": "lost", "tick": "<aws.scheduler.scheduled-time>", "cause": "schedule"})
    w.until("the list follows", lambda: set(w.members("lost")) == {p["id"] for p in people(range(5, 12))}, on_wait=w.sweep)
    equal(w, "lost", people(range(5, 12)))


def rejected_record_is_fixed_later(w):
    """A refused record is listed with its reason and tried again with its newest value."""
    w.sync("rejected")
    w.faults(reject=["p00003"])
    w.snapshot("rejected", people(range(8)))
    w.run("rejected", codes=(0, 3))
    equal(w, "rejected", [p for p in people(range(8)) if p["id"] != "p00003"])
    expect("rejected", w.status("rejected")["rejected"], 1)
    w.faults()
    fixed = people(range(8))
    fixed[3] = {"id": "p00003", "name": "fixed"}
    w.snapshot("rejected", fixed)
    w.run("rejected")
    equal(w, "rejected", fixed)


def destination_down_then_up(w):
    """The run parks, burns no message, and goes on when the destination is back."""
    w.sync("down")
    w.snapshot("down", people(range(20)))
    w.faults(down="refuse")
    w.driftless("sync", "now", "down")
    parked = w.until("the run is parked", lambda: (lambda r: r if r and r["state"] == "parked" else None)(w.status("down")["run"]))
    note(f"parked: {parked['reason']}")
    w.faults()
    w.until("the run is committed", lambda: w.status("down")["run"] is None, on_wait=w.sweep)
    equal(w, "down", people(range(20)))
    dlq = w.sqs.get_queue_attributes(QueueUrl=w.queue(f"to-{DESTINATION}-dlq"), AttributeNames=["ApproximateNumberOfMessages"])
    expect("dead letters", dlq["Attributes"]["ApproximateNumberOfMessages"], "0")


def held_by_a_guard_then_approved(w):
    """Too many removals: nobody is removed, additions flow; approving lets them go."""
    w.sync("guard", guards={"max_removals": 5})
    w.snapshot("guard", people(range(50)))
    w.run("guard")
    w.snapshot("guard", people(range(20, 55)))
    w.run("guard", codes=(0, 3))
    equal(w, "guard", people(range(55)))
    held = w.status("guard")["held"]
    expect("held", [h["count"] for h in held], [20])
    w.driftless("approve", "guard")
    w.run("guard")
    equal(w, "guard", people(range(20, 55)))
    expect("held after approval", w.status("guard")["held"], [])


def corrupt_snapshot_is_refused(w):
    """The list stays as it was; the reason names the object; a good snapshot goes on."""
    w.sync("corrupt")
    w.snapshot("corrupt", people(range(5)))
    w.run("corrupt")
    file = w.state.folder / "corrupt.parquet"
    file.write_bytes(file.read_bytes()[:-20] + b"x" * 20)
    w.take_up("corrupt", file)
    refused = w.status("corrupt")["refused_snapshot"]
    note(f"refused: {refused['reason']}")
    expect("the object is named", "datasets/acme/corrupt/" in refused["subject"] + refused["reason"], True)
    w.snapshot("corrupt", people(range(4)))
    w.run("corrupt")
    equal(w, "corrupt", people(range(4)))


def two_syncs_of_one_dataset(w):
    """Different selections of one dataset; a missing column stops only the sync that maps it."""
    w.sync("even", dataset="acme/both", selection={"where": "name LIKE '%0'"})
    w.sync("odd", dataset="acme/both", selection={"where": "name NOT LIKE '%0'"})
    rows = people(range(30))
    w.snapshot("even", rows)
    w.until("both have it", lambda: w.status("odd")["version"] >= 1)
    w.run("even")
    w.run("odd")
    equal(w, "even", [r for r in rows if r["name"].endswith("0")])
    equal(w, "odd", [r for r in rows if not r["name"].endswith("0")])
    w.sync("broken", dataset="acme/both", mapping={"id": {"column": "id", "identifier": True}, "mail": "e_mail"})
    w.until("broken needs attention", lambda: w.status("broken")["attention"])
    expect("the column is named", "e_mail" in w.status("broken")["attention"]["reason"], True)
    w.snapshot("even", rows[:20])
    w.run("even")
    equal(w, "even", [r for r in rows[:20] if r["name"].endswith("0")])
    w.driftless("pause", "broken")


def mapping_changed(w):
    """A new field: everybody selected is sent again, those who left are removed."""
    w.sync("mapping")
    rows = [{**p, "city": f"c{i % 3}"} for i, p in enumerate(people(range(12)))]
    w.snapshot("mapping", rows)
    w.run("mapping")
    equal(w, "mapping", people(range(12)))
    w.sync("mapping", mapping={"id": {"column": "id", "identifier": True}, "name": "name", "city": "city"})
    w.until("ingested under the new mapping", lambda: w.status("mapping")["version"] >= 2)
    w.snapshot("mapping", rows[2:])
    w.run("mapping")
    equal(w, "mapping", rows[2:])


def log_says(w, name, key):
    """What the destination's own log says of a record, oldest first: operation, what became of it, when."""
    said = []
    for e in w.log(name):
        if key in e["identifiers"] and e["status"] in (0, 200):
            what = "unanswered" if e["status"] == 0 else "rejected" if key in e["rejected"] else "delivered"
            said.append((e["op"], what, e["time"]))
    return said


def explained(w, name, key, state):
    """`explain` gives the state, and the same deliveries as the destination's log, at the same times."""
    story = w.read("explain", name, key)
    expect(f"{key}: state", story["state"], state)
    unanswered = ("in_flight", "unknown")
    told = [(d["operation"], "unanswered" if d["outcome"] in unanswered else d["outcome"]) for d in story["deliveries"]]
    said = log_says(w, name, key)
    # A call that is sent again and again without an answer is one delivery.
    once = [s for i, s in enumerate(said) if i == 0 or s[1] != "unanswered" or said[i - 1][:2] != s[:2]]
    expect(f"{key}: deliveries", told, [s[:2] for s in once])
    for d, (op, what, at) in zip(story["deliveries"], once):
        answered = datetime.fromisoformat(d["at"].replace("Z", "+00:00")).timestamp()
        if what != "unanswered" and not -2 <= answered - at <= 30:
            raise Trouble(f"{key}: explain says {op} {what} at {d['at']}, the destination's log {answered - at:.0f} s apart")
    text = w.driftless("explain", name, key, codes=(0, 3))
    expect(f"{key}: the text names every run", all(d["run"] in text for d in story["deliveries"]), True)
    note(f"{key}: {state}; " + (", ".join(" ".join(s[:2]) for s in once) or "nothing was ever sent"))
    return story


def explain_answers(w):
    """`explain` says what the destination's log says: added, updated, removed, rejected, uncertain, never seen."""
    w.sync("explain")
    w.snapshot("explain", people(range(6)))
    w.run("explain")
    after = people(range(1, 8))
    after[0] = {"id": "p00001", "name": "renamed"}
    w.faults(reject=["p00007"])
    w.snapshot("explain", after)
    w.run("explain", codes=(0, 3))
    added = explained(w, "explain", "p00006", "in_sync")
    expect("member since its delivery", added["member_since"], added["deliveries"][0]["at"])
    explained(w, "explain", "p00001", "in_sync")
    expect("its version is told", [c["op"] for c in explained(w, "explain", "p00000", "gone")["changes"]], ["add", "remove"])
    refused = explained(w, "explain", "p00007", "rejected")
    expect("with the destination's reason", "invalid" in refused["last_error"], True)
    expect("nothing is told of a stranger", explained(w, "explain", "p99999", "never_seen")["deliveries"], [])
    # Sent, applied, and no answer; then its run is overtaken by a snapshot without it.
    w.faults(lose_answer={"every": 1}, identifiers=["p00008"])
    w.snapshot("explain", after[:-1] + people([8]))
    w.driftless("sync", "now", "explain")
    w.until("the run is parked", lambda: (w.status("explain")["run"] or {}).get("state") == "parked")
    w.driftless("pause", "explain")
    w.snapshot("explain", after[:-1])
    w.until("the run is closed", lambda: w.status("explain")["run"] is None, on_wait=w.sweep)
    explained(w, "explain", "p00008", "uncertain")
    expect("it really is there", "p00008" in w.members("explain"), True)
    w.faults()
    w.driftless("resume", "explain")
    w.run("explain")
    explained(w, "explain", "p00008", "gone")
    equal(w, "explain", after[:-1])


def changed_by_somebody_else(w):
    """A comparison tells who is missing, who is back and who is unknown; it corrects the first two, and strangers if it is told to."""
    w.sync("drifted", guards={"max_removals": 50})
    w.snapshot("drifted", people(range(200)))
    w.run("drifted")
    w.snapshot("drifted", people(range(10, 200)))
    w.run("drifted")
    w.by_hand("drifted", "members/remove", people(range(20, 25)))
    w.by_hand("drifted", "members", people(range(3)) + [{"id": "stranger", "name": "?"}])
    told = w.read("reconcile", "drifted", "--dry-run")
    drift = {k: told["drift"][k] for k in ("members", "found", "missing", "strays", "strangers")}
    expect("the drift", drift, {"members": 189, "found": 185, "missing": 5, "strays": 3, "strangers": 1})
    expect("a dry run corrects nothing", len(w.members("drifted")), 189)
    calls = len(w.log("drifted"))
    note(w.driftless("reconcile", "drifted").strip().replace("\n", " "))
    w.until("the list is corrected", lambda: set(w.members("drifted")) == {"stranger", *(p["id"] for p in people(range(10, 200)))}, on_wait=w.sweep)
    expect("records sent", sorted((e["op"], e["records"]) for e in w.log("drifted")[calls:]), [("add", 5), ("remove", 3)])
    w.sync("drifted", guards={"max_removals": 50}, reconcile={"strangers": "remove"})
    w.driftless("reconcile", "drifted")
    w.until("the stranger is gone", lambda: "stranger" not in w.members("drifted"), on_wait=w.sweep)
    w.idle("drifted")
    equal(w, "drifted", people(range(10, 200)))
    expect("nothing differs now", w.read("reconcile", "drifted")["outcome"], "in_step")


def whole_lists_are_dropped_as_files(w):
    """A list that is replaced as a whole, by the parts of a session: readers see the old list, then the new one."""
    w.sync("files", destination=DROP, strategy="auto")
    w.snapshot("files", people(range(1200)))
    w.run("files")
    files, found = w.dropped("files")
    expect("parts of 500", files, 3)
    expect("the list", found, {p["id"]: p for p in people(range(1200))})
    after = people(range(100, 1200)) + people([5000], name="new")
    w.snapshot("files", after)
    w.run("files")
    files, found = w.dropped("files")
    expect("the next list", found, {p["id"]: p for p in after})
    strategy = w.runs("files")[0]["strategy"]
    expect("it was replaced", strategy.split(":")[0], "replace")
    expect("read back, nothing differs", w.read("reconcile", "files", "--dry-run")["outcome"], "in_step")
    explained = w.read("explain", "files", "p00001")
    expect("who left", explained["state"], "gone")
    note(f"{strategy}; {files} files")


SCENARIOS = [
    whole_lists_are_dropped_as_files,
    changed_by_somebody_else,
    happy_path_and_replayed_event,
    lost_event_is_healed_by_a_tick,
    rejected_record_is_fixed_later,
    destination_down_then_up,
    held_by_a_guard_then_approved,
    corrupt_snapshot_is_refused,
    two_syncs_of_one_dataset,
    mapping_changed,
    explain_answers,
]
