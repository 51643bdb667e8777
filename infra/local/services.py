"""The processes of one local cloud: started in their own groups, remembered in a folder, stopped all together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import toolbox
from toolbox import HERE, Trouble, say

REGION = "us-east-1"
ACCOUNT = "000000000000"
SERVICES = "s3,sqs,sns,dynamodb,lambda,iam,sts,secretsmanager,logs,monitoring,events,scheduler,cloudformation,ssm,cloudwatch"
REST_TOKEN = "lab-secret"
# What the stubs of the vendors take (tests/stubs).
STUB_SECRET = "s3cr3t"
STUB_SIGNING_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def born(pid):
    """When a process was started, as text, or None when it is gone. Tells a process from a later one with its number."""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def answers(url, headers=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=2) as reply:
            return reply.status < 500
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class State:
    """What runs, in `state.json` of a folder; every change is on disk before the next step."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.file = self.folder / "state.json"
        self.known = json.loads(self.file.read_text()) if self.file.exists() else {"processes": {}}

    def save(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.known, indent=1))
        temporary.replace(self.file)

    def alive(self, name):
        process = self.known["processes"].get(name)
        return bool(process and born(process["pid"]) == process["born"])

    def spawn(self, name, command, environment, check, limit, headers=None):
        """Starts a process in a group of its own and waits until `check` answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=self.folder, start_new_session=True
            )
        self.known["processes"][name] = {"pid": process.pid, "born": born(process.pid)}
        self.save()
        until = time.monotonic() + limit
        while not answers(check, headers):
            if process.poll() is not None:
                raise Trouble(f"{name} ended with code {process.returncode}; the end of {log}: {self.tail(name)}")
            if time.monotonic() > until:
                raise Trouble(f"{name} did not answer at {check} within {limit} s; its log is {log}")
            time.sleep(0.1)
        return process.pid

    def tail(self, name):
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return " | ".join(lines[-3:]) or "(empty)"

    def start_cloud(self):
        if self.alive("ministack"):
            raise Trouble(f"a local cloud is already up in {self.folder}; `make local-down` stops it")
        self.known = {"processes": {}}
        port, proxy = free_port(), free_port()
        endpoint = f"http://127.0.0.1:{proxy}"
        scratch = self.folder / "tmp"
        scratch.mkdir(parents=True, exist_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            **self.credentials(),
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "SERVICES": SERVICES,
            "TMPDIR": str(scratch),
            # The functions inherit it: their requests go through the fault proxy.
            "AWS_ENDPOINT_URL": endpoint,
        }
        say(f"starting the emulated AWS on 127.0.0.1:{port}, the fault proxy on 127.0.0.1:{proxy}")
        self.known.update({"cloud": f"http://127.0.0.1:{port}", "endpoint": endpoint, "region": REGION, "account": ACCOUNT})
        self.spawn("ministack", [toolbox.tool("ministack")], environment, f"http://127.0.0.1:{port}/_ministack/ready", 90)
        command = [sys.executable, str(HERE / "fault_proxy.py"), "--port", str(proxy), "--cloud-port", str(port)]
        self.spawn("proxy", command, dict(os.environ), f"{endpoint}/_counts", 20)

    def start_remote(self, system, options):
        """Starts a remote system that holds lists, or `stubs` of many; returns its address and token."""
        if self.alive(system):
            return self.known[system]
        port = free_port()
        if system == "scim":
            command = [toolbox.tool("scim2-server"), "--hostname", "127.0.0.1", "--port", str(port), "--bearer-token", REST_TOKEN]
            url, path = f"http://127.0.0.1:{port}/v2", "/ServiceProviderConfig"
        elif system == "stubs":
            target = os.environ.get("CARGO_TARGET_DIR") or str(toolbox.cache() / "target")
            command = [f"{target}/debug/driftless-stubs", "--port", str(port)]
            url, path = f"http://127.0.0.1:{port}", "/control"
        else:
            log = str(self.folder / "requests.jsonl")
            command = [sys.executable, str(HERE / "rest_server.py"), "--port", str(port), "--token", REST_TOKEN, "--log", log, *options]
            url, path = f"http://127.0.0.1:{port}", "/_control/health"
        say(f"starting the {system} destination on 127.0.0.1:{port}")
        self.spawn(system, command, dict(os.environ), url + path, 60, {"Authorization": f"Bearer {REST_TOKEN}"})
        self.known[system] = {"url": url, "token": REST_TOKEN}
        self.save()
        return self.known[system]

    @staticmethod
    def credentials():
        return {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}

    def environment(self):
        """What a command needs to work with this cloud."""
        if not self.alive("ministack"):
            raise Trouble(f"no local cloud is up in {self.folder}; `make local-up` starts one")
        found = {
            **self.credentials(),
            "AWS_ENDPOINT_URL": self.known["cloud"],
            "DRIFTLESS_STAGE": self.known.get("stage", "dev"),
            "DRIFTLESS_LOCAL_STATE": str(self.folder),
            "DRIFTLESS_FAULT_PROXY": self.known["endpoint"],
            "DRIFTLESS_ALLOW_PRIVATE_DESTINATIONS": "true",
        }
        if "bucket" in self.known:
            # What template.yaml tells the functions, so that `cargo lambda watch` can run one by hand.
            stage = self.known["stage"]
            found |= {
                "DRIFTLESS_TABLE": f"driftless-{stage}",
                "DRIFTLESS_BUCKET": self.known["bucket"],
                "DRIFTLESS_HASH_SECRET": f"driftless/{stage}/hash-key",
            }
            for part in ("ingest", "planner", "janitor"):
                url = f"{self.known['cloud']}/{self.known['account']}/driftless-{stage}-{part}"
                found[f"DRIFTLESS_{part.upper()}_QUEUE_URL"] = url
        for system in ("rest", "scim"):
            if system in self.known:
                found[f"DRIFTLESS_{system.upper()}_URL"] = self.known[system]["url"]
                found[f"DRIFTLESS_{system.upper()}_TOKEN"] = self.known[system]["token"]
        return found

    def client(self, service):
        import boto3
        from botocore.config import Config

        # The session that boto3 shares is not made for several threads.
        return boto3.session.Session().client(
            service,
            endpoint_url=self.known["cloud"],
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(connect_timeout=5, read_timeout=60, s3={"addressing_style": "path"}),
        )

    def stop(self):
        """Ends what was started here, politely for five seconds, then for certain. Safe to call twice."""
        running = {name: process["pid"] for name, process in self.known["processes"].items() if self.alive(name)}
        for how in (signal.SIGTERM, signal.SIGKILL):
            for pid in running.values():
                try:
                    os.killpg(pid, how)
                except (ProcessLookupError, PermissionError):
                    pass
            until = time.monotonic() + 5
            while any(group_lives(pid) for pid in running.values()) and time.monotonic() < until:
                time.sleep(0.05)
            running = {name: pid for name, pid in running.items() if group_lives(pid)}
            if not running:
                break
        self.known = {"processes": {}}
        self.file.unlink(missing_ok=True)


def group_lives(group):
    """Whether a process group has a member that is not a zombie of ours."""
    try:
        os.waitpid(group, os.WNOHANG)
    except ChildProcessError:
        pass
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
