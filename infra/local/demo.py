#!/usr/bin/env python3
"""The whole product on the local cloud: snapshots go into the bucket, and a list in another system becomes equal to a
selection of them, through the deployed templates. At the end the remote list is read back and compared.

    demo.py                                  three snapshots of 20,000 customers and one repeated, to a SCIM directory
    demo.py --key COLUMN a.parquet b.parquet your own snapshots, oldest first, to a REST list of all their columns
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import demo_compare
import demo_project
import stacks
import toolbox
from services import REST_TOKEN, State
from toolbox import Trouble, say

ROWS, CHURN, SEED = 20_000, 0.05, 20260105
SETTLE_LIMIT = 900


class Demo:
    def __init__(self, state, files, key):
        self.state = state
        self.files = files
        self.key = key
        self.system = "rest" if files else "scim"
        self.project = state.folder / "project"
        self.rows = []
        self.steps = 6 + (len(files) or 4)
        self.step_number = 0

    def step(self, what):
        self.step_number += 1
        say(f"[{self.step_number}/{self.steps}] {what}")

    def driftless(self, *arguments, read=False):
        """Runs the command that a user would run, and shows what it says when it fails."""
        target = os.environ.get("CARGO_TARGET_DIR") or str(toolbox.cache() / "target")
        command = [f"{target}/debug/driftless", "--project", str(self.project), *arguments]
        environment = {**os.environ, **self.state.environment()}
        done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode != 0:
            raise Trouble(f"`driftless {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()}")
        return json.loads(done.stdout) if read else done.stdout

    # ------------------------------------------------------------ the cloud

    def prepare(self):
        self.step("the emulated AWS and the remote system")
        self.state.start_cloud()
        options = ["--identifier", self.key] if self.key else []
        self.remote = self.state.start_remote(self.system, options)
        self.step("sam deploy: the core stack, then the stack of the destination")
        # Nothing is killed here, and a user's own snapshots may be large: long times, and no sweep between.
        patient = [f"{name}{what}" for name in ("Ingest", "Planner", "Janitor") for what in ("TimeoutSeconds=600", "VisibilitySeconds=3600")]
        stacks.core(self.state, "dev", [*patient, "JanitorSchedule=rate(15 minutes)"])
        secret = self.state.client("secretsmanager").create_secret(Name=demo_project.SECRET, SecretString=REST_TOKEN)
        # A call of this size to this server takes up to half a minute.
        slow = [f"SecretArns={secret['ARN']}", "TimeoutSeconds=120", "VisibilitySeconds=720", "LeaseSeconds=130"]
        stacks.connectors(self.state, "dev", [demo_project.DESTINATION], slow)

    def configure(self):
        self.step(f"driftless apply: one sync, one destination of kind {self.system}")
        shutil.rmtree(self.project, ignore_errors=True)
        names = self.own_columns() if self.files else ()
        demo_project.write(self.project, self.system, self.remote, self.key, names)
        self.driftless("apply")

    def own_columns(self):
        common = None
        for file in self.files:
            names = demo_compare.columns(file)
            if self.key not in names:
                raise Trouble(f"{file} has no column {self.key}; it has {', '.join(names)}")
            common = names if common is None else [name for name in common if name in names]
        return [name for name in common if name != self.key]

    def generate(self):
        self.step(f"driftless sample: three snapshots of {ROWS:,} customers, {CHURN:.0%} churn")
        folder = self.state.folder / "snapshots"
        folder.mkdir(parents=True, exist_ok=True)
        made = []
        for week in (1, 2, 3):
            file = folder / f"week-{week}.parquet"
            self.driftless("sample", "--rows", str(ROWS), "--churn", str(CHURN), "--seed", str(SEED), "--week", str(week), "--out", str(file))
            made.append(("week " + str(week), file))
        return [*made, ("week 3 again", made[-1][1])]

    # ------------------------------------------------------------ one snapshot

    def proxy(self, method, path):
        request = urllib.request.Request(self.state.known["endpoint"] + path, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)

    def waiting(self):
        """Messages that wait or are being worked on, over all queues of the stage."""
        queues = self.state.client("sqs")
        names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
        total = 0
        for url in queues.list_queues(QueueNamePrefix="driftless-dev-").get("QueueUrls", []):
            attributes = queues.get_queue_attributes(QueueUrl=url, AttributeNames=list(names))["Attributes"]
            waiting = sum(int(attributes[name]) for name in names)
            if waiting and url.endswith("-dlq"):
                raise Trouble(f"{waiting} messages are dead letters in {url.rsplit('/', 1)[-1]}; {self.state.folder}/ministack.log tells more")
            total += waiting
        return total

    def settle(self, what):
        """Waits until ingest has written something and every queue has been empty for three seconds."""
        begun, quiet_since, told = time.monotonic(), None, time.monotonic()
        while True:
            now = time.monotonic()
            if self.waiting() or not self.writes("ingest"):
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= 3:
                return quiet_since - begun
            if now - begun > SETTLE_LIMIT:
                raise Trouble(f"{what} has not settled in {SETTLE_LIMIT} s; `driftless status` and {self.state.folder}/ministack.log tell more")
            if now - told > 15:
                told = now
                say(f"      … {now - begun:.0f} s, {self.writes():,} items written to the table")
            time.sleep(0.5)

    def writes(self, function=""):
        """Items that the functions wrote to the table since the counts were reset."""
        counts = self.proxy("GET", "/_counts")
        return sum(
            operation["items"]
            for name, operations in counts.items()
            if name.startswith("driftless-") and function in name
            for operation in operations.values()
        )

    def runs(self):
        return {run["run"]: run for run in self.driftless("runs", demo_project.SYNC, "--json", read=True)["runs"]}

    def deliver(self, name, file):
        self.step(f"{name}: into the bucket, and wait until nothing is left to do")
        known = self.runs()
        self.proxy("DELETE", "/_counts")
        bucket, key = self.state.known["bucket"], f"datasets/{demo_project.TENANT_DATASET}/{self.step_number:02}-{Path(file).name}"
        self.state.client("s3").upload_file(str(file), bucket, key)
        seconds = self.settle(name)
        row = {"snapshot": name, "adds": 0, "updates": 0, "removals": 0, "calls": 0, "requests": 0}
        for identifier, run in self.runs().items():
            if identifier in known:
                continue
            if run["state"] != "committed":
                raise Trouble(f"{name}: the run {identifier} is {run['state']}: {run.get('reason')}")
            for figure in ("adds", "updates", "removals", "calls", "requests"):
                row[figure] += run[figure]
        row["table writes"] = self.writes()
        row["seconds"] = f"{seconds:.1f}"
        self.rows.append(row)
        return row

    # ------------------------------------------------------------ the end

    def compare(self, file):
        self.step("the remote list, read back and compared with the selection as DuckDB works it out")
        if self.system == "scim":
            found = demo_compare.scim_members(self.remote, "Newsletter")
            wanted = demo_compare.scim_selection(file)
            differences = demo_compare.scim_differences(wanted, found)
        else:
            found = demo_compare.rest_members(self.remote, "members")
            wanted = demo_compare.rest_selection(file, self.key, [self.key, *self.own_columns()])
            differences = demo_compare.rest_differences(wanted, found)
        return len(found), len(wanted), differences

    def table(self):
        names = list(self.rows[0])
        cells = [names] + [[f"{row[name]:,}" if isinstance(row[name], int) else row[name] for name in names] for row in self.rows]
        widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
        say("")
        for line in cells:
            say("  " + "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))))
        say("")

    def costs(self):
        """What the sync has used, as `driftless status --cost` shows it."""
        costs = self.driftless("status", demo_project.SYNC, "--cost", "--json", read=True)
        prices = costs["prices"]
        for month in costs["syncs"][0]["months"]:
            say(
                f"It used {month['write_units']:,} write units, {month['read_units']:,} read units, {month['gb_milliseconds'] / 1000:,.1f} GB-s, "
                f"{month['object_gets'] + month['object_puts']:,} requests to the bucket and {month['messages']:,} messages: "
                f"${month['nano_usd'] / 1e9:.4f} at the list prices of {prices['region']}."
            )

    def play(self):
        self.prepare()
        snapshots = [(file.name, file) for file in self.files] if self.files else self.generate()
        self.configure()
        for name, file in snapshots:
            last = self.deliver(name, file)
        size, wanted, (missing, extra, different) = self.compare(snapshots[-1][1])
        self.table()
        if missing or extra or different:
            say(self.driftless("status", demo_project.SYNC))
            raise Trouble(f"the list has {size:,} records, the selection {wanted:,}: {missing:,} missing, {extra:,} too many, {different:,} different")
        self.costs()
        if not self.files:
            if last["calls"] or last["table writes"] != 1:
                raise Trouble(f"the repeated snapshot made {last['calls']} calls and {last['table writes']} table writes, not 0 and 1")
            say("The repeated snapshot made 0 calls and 1 table write.")
        say(f"The remote list has {size:,} records and **equals the selection**.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=Path, default=toolbox.ROOT / ".local" / "demo")
    parser.add_argument("--key", help="the column that identifies a record of your files")
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if bool(arguments.files) != bool(arguments.key):
        raise Trouble("your own files need the column that identifies a record: make demo DATA='a.parquet b.parquet' KEY=column")
    for file in arguments.files:
        if not file.is_file():
            raise Trouble(f"{file} is not a file")
    toolbox.inside()
    state = State(arguments.state)
    state.stop()
    try:
        Demo(state, [file.resolve() for file in arguments.files], arguments.key).play()
    finally:
        state.stop()


if __name__ == "__main__":
    try:
        main()
    except (Trouble, subprocess.TimeoutExpired) as trouble:
        print(f"demo.py: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
