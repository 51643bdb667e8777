"""The deployed templates on the local cloud, one REST destination, and what a test needs to drive and observe them.

Nothing here waits for a fixed time: every wait polls for what it waits for, and has a limit.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "infra" / "local"))

import stacks  # noqa: E402
import toolbox  # noqa: E402
from services import REST_TOKEN, State  # noqa: E402
from toolbox import Trouble, say  # noqa: E402

STAGE, DESTINATION, SECRET = "dev", "crm", "driftless-e2e-token"
# The destination of whole lists as files, in the bucket of the stage.
DROP, DROPPED = "drop", "lists/"
LIMIT = 180

DESTINATION_YAML = """\
version: 1
kind: rest
base_url: {url}
auth: {{ bearer: {{ token: {{ secret: {secret} }} }} }}
timeout: 5s
batch: {{ records: {records} }}
{all_or_nothing}answer:
  results: {{ by_position: {{ items: /results, code: /status, reason: /code }} }}
add:
  method: POST
  path: /lists/{{{{ list }}}}/members
  body: {{ json: {{ records: {{ $each_record: "{{{{ record.fields }}}}" }} }} }}
update:
  method: PUT
  path: /lists/{{{{ list }}}}/members
  body: {{ json: {{ records: {{ $each_record: "{{{{ record.fields }}}}" }} }} }}
remove:
  method: POST
  path: /lists/{{{{ list }}}}/members/remove
  body: {{ json: {{ records: {{ $each_record: "{{{{ record.identifiers }}}}" }} }} }}
list:
  path: /lists/{{{{ list }}}}/members
  query: {{ cursor: "{{{{ cursor | default(omit) }}}}", limit: "50" }}
  items: /records
  identifiers: {{ id: /id }}
  next: {{ cursor: /next }}
"""


class World:
    """One local cloud for all scenarios; each scenario has its own dataset, sync and list."""

    def __init__(self, folder):
        self.state = State(folder)
        self.project = self.state.folder / "project"
        self.syncs = {}
        self.uploads = 0

    def start(self):
        self.state.stop()
        self.state.start_cloud()
        self.remote = self.state.start_remote("rest", ["--identifier", "id"])
        stacks.core(self.state, STAGE, ["StalledSeconds=20"])
        secret = self.state.client("secretsmanager").create_secret(Name=SECRET, SecretString=REST_TOKEN)
        stacks.connectors(self.state, STAGE, [DESTINATION], [f"SecretArns={secret['ARN']}", "ParkSeconds=2"])
        stacks.connectors(self.state, STAGE, [DROP], [f"FileBucketName={self.state.known['bucket']}", f"FilePrefix={DROPPED}"])
        self.s3, self.sqs = self.state.client("s3"), self.state.client("sqs")
        shutil.rmtree(self.project, ignore_errors=True)
        (self.project / "syncs").mkdir(parents=True, exist_ok=True)
        (self.project / "destinations").mkdir(parents=True, exist_ok=True)
        self.destination()
        drop = {
            "version": 1, "kind": "file", "bucket": self.state.known["bucket"], "prefix": DROPPED, "mode": "full",
            "format": {"json_lines": {}}, "records": 500,
        }
        (self.project / "destinations" / f"{DROP}.yaml").write_text(json.dumps(drop, indent=1))

    def destination(self, all_or_nothing=False, records=500):
        text = DESTINATION_YAML.format(
            url=self.remote["url"], secret=SECRET, records=records, all_or_nothing="all_or_nothing: true\n" if all_or_nothing else ""
        )
        (self.project / "destinations" / f"{DESTINATION}.yaml").write_text(text)

    # ------------------------------------------------------------ the command

    def driftless(self, *arguments, codes=(0,)):
        """Runs the command as a user would; returns its text."""
        target = os.environ.get("CARGO_TARGET_DIR") or str(toolbox.cache() / "target")
        command = [f"{target}/debug/driftless", "--project", str(self.project), *map(str, arguments)]
        done = subprocess.run(
            command, env={**os.environ, **self.state.environment()}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT, check=False,
        )
        if done.returncode not in codes:
            raise Trouble(f"`driftless {' '.join(map(str, arguments))}` ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def read(self, *arguments, codes=(0, 3)):
        return json.loads(self.driftless(*arguments, "--json", codes=codes))

    def write_sync(self, name, **settings):
        """Writes a sync of its own dataset `acme/<name>` (or the one given) to the list <name>."""
        given = {
            "version": 1,
            "dataset": f"acme/{name}",
            "key": "id",
            "mapping": {"id": {"column": "id", "identifier": True}, "name": "name"},
            "destination": DESTINATION,
            "list": name,
            "strategy": "delta",
            "schedule": "manual",
            **settings,
        }
        self.syncs[name] = given
        (self.project / "syncs" / f"{name}.yaml").write_text(json.dumps(given, indent=1))
        return given

    def sync(self, name, **settings):
        """The same, and applies the project."""
        given = self.write_sync(name, **settings)
        if given["destination"] == DESTINATION:
            field = next(field for field, m in given["mapping"].items() if isinstance(m, dict) and m.get("identifier"))
            self.control("PUT", f"/list/{given['list']}", {"identifier": field})
        self.driftless("apply", "--yes")

    def status(self, name):
        return self.read("status", name)["syncs"][0]

    def runs(self, name):
        return self.read("runs", name)["runs"]

    # ------------------------------------------------------------ data and messages

    def upload(self, file, dataset, key=None):
        self.uploads += 1
        key = key or f"datasets/{dataset}/{self.uploads:03}-{Path(file).name}"
        self.s3.upload_file(str(file), self.state.known["bucket"], key)
        return key

    def snapshot(self, name, rows, key=None):
        """A snapshot of rows (dicts) for the dataset of a sync; returns once ingest has taken it up or refused it."""
        file = self.state.folder / f"{name}.parquet"
        write_parquet(file, rows)
        return self.take_up(name, file, key)

    def take_up(self, name, file, key=None):
        before = self.seen(name)
        key = self.upload(file, self.syncs[name]["dataset"], key)
        self.until(f"{name}: the snapshot is taken up", lambda: self.seen(name) != before)
        return key

    def seen(self, name):
        s = self.status(name)
        refused = s["refused_snapshot"]
        return (s["last_snapshot"], refused and refused["at"], s["attention"])

    def queue(self, part):
        return self.sqs.get_queue_url(QueueName=f"driftless-{STAGE}-{part}")["QueueUrl"]

    def send(self, part, message):
        self.sqs.send_message(QueueUrl=self.queue(part), MessageBody=json.dumps({"v": 1, **message}))

    def ingest_variable(self, name, value):
        """What a parameter of the template would set, without deploying it again."""
        functions, function = self.state.client("lambda"), f"driftless-{STAGE}-ingest"
        variables = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        if name not in variables:
            raise Trouble(f"template.yaml does not give {name} to the function ingest")
        functions.update_function_configuration(FunctionName=function, Environment={"Variables": {**variables, name: value}})
        functions.get_waiter("function_updated_v2").wait(FunctionName=function)

    def objects(self, prefix, part):
        """The keys under a prefix that contain a text."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.state.known["bucket"], Prefix=prefix)
        return [o["Key"] for page in pages for o in page.get("Contents", []) if part in o["Key"]]

    def log_items(self, name):
        """Items of the deltalog of a sync."""
        pages = self.state.client("dynamodb").get_paginator("scan").paginate(
            TableName=f"driftless-{STAGE}", FilterExpression="begins_with(pk, :log)",
            ExpressionAttributeValues={":log": {"S": f"LOG#{name}#"}}, Select="COUNT",
        )
        return sum(page["Count"] for page in pages)

    def logged(self, function, part):
        """Lines of a function's log that contain a text."""
        pages = self.state.client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/driftless-{STAGE}-{function}")
        return [event["message"] for page in pages for event in page["events"] if part in event["message"]]

    def sweep(self):
        """What the janitor's schedule sends."""
        self.send("janitor", {"kind": "sweep"})

    def run(self, name, codes=(0,)):
        """A run by hand, to its end."""
        return self.driftless("sync", "now", name, "--wait", "--timeout", LIMIT - 10, codes=codes)

    def idle(self, name):
        """Until nothing is queued and no run is active."""
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")

        def quiet():
            for part in ("ingest", "planner", "janitor", f"to-{DESTINATION}"):
                found = self.sqs.get_queue_attributes(QueueUrl=self.queue(part), AttributeNames=list(names))["Attributes"]
                if any(int(found[n]) for n in names):
                    return False
            return self.status(name)["run"] is None

        self.until(f"{name}: nothing is left to do", quiet, on_wait=self.sweep, every=10)

    def until(self, what, holds, limit=LIMIT, on_wait=None, every=5):
        begun = last = time.monotonic()
        while True:
            found = holds()
            if found:
                return found
            now = time.monotonic()
            if now - begun > limit:
                raise Trouble(f"{what}: not within {limit} s")
            if on_wait and now - last > every:
                last = now
                on_wait()
            time.sleep(0.3)

    # ------------------------------------------------------------ the destination

    def control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.remote['url']}/_control{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            text = reply.read()
        return json.loads(text) if text else None

    def faults(self, **wish):
        self.control("DELETE", "/faults")
        if wish:
            self.control("POST", "/faults", wish)

    def members(self, name):
        return self.control("GET", f"/list/{name}")["records"]

    def by_hand(self, name, what, rows):
        """Somebody else changes the list: `members` adds, `members/remove` removes."""
        data = json.dumps({"records": rows}).encode()
        headers = {"Authorization": f"Bearer {REST_TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.remote['url']}/lists/{name}/{what}", data=data, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as reply:
            reply.read()

    def log(self, name):
        """The destination's own log of data requests to a list."""
        entries = self.control("GET", "/log?from=0")
        entries = entries["requests"] if isinstance(entries, dict) else entries
        return [e for e in entries if e.get("list") == name and e.get("op") in ("add", "update", "remove")]

    def dropped(self, name):
        """The whole list that `current.json` names, each file checked by its digest: (files, records by key)."""

        def read(place, sha256=None):
            body = self.s3.get_object(Bucket=self.state.known["bucket"], Key=f"{DROPPED}{name}/{place}")["Body"].read()
            if sha256 and hashlib.sha256(body).hexdigest() != sha256:
                raise Trouble(f"{place} is not what its digest says")
            return body

        current = json.loads(read("current.json"))
        manifest = json.loads(read(current["manifest"], current["sha256"]))
        lines = [line for f in manifest["files"] for line in read(f["name"], f["sha256"]).splitlines()]
        return len(manifest["files"]), {line["key"]: line["fields"] for line in map(json.loads, lines)}

    def proxy(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.state.known["endpoint"] + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            text = reply.read()
        return json.loads(text) if text else None


def write_parquet(file, rows):
    import duckdb

    columns = sorted({name for row in rows for name in row}) or ["id", "name"]
    db = duckdb.connect()
    db.execute(f"CREATE TABLE t ({', '.join(c + ' VARCHAR' for c in columns)})")
    if rows:
        db.executemany(f"INSERT INTO t VALUES ({', '.join('?' for _ in columns)})", [[row.get(c) for c in columns] for row in rows])
    db.execute(f"COPY t TO '{file}' (FORMAT parquet)")


def expect(what, found, wanted):
    if found != wanted:
        raise Trouble(f"{what}: found {short(found)}, wanted {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) < 400 else text[:400] + "…"


def equal(world, name, rows, identifier="id"):
    """The list holds exactly these rows, by identifier."""
    wanted = {row[identifier]: row for row in rows}
    found = world.members(name)
    missing = sorted(set(wanted) - set(found))[:3]
    extra = sorted(set(found) - set(wanted))[:3]
    different = [k for k in wanted if k in found and found[k] != wanted[k]][:3]
    if missing or extra or different:
        raise Trouble(f"{name}: {len(found)} of {len(wanted)} records; missing {missing}, too many {extra}, different {different}")


def people(numbers, name="n"):
    return [{"id": f"p{n:05}", "name": f"{name}{n}"} for n in numbers]


def note(text):
    say(f"      {text}")
