#!/usr/bin/env python3
"""A loopback proxy between the functions and the local cloud.

It forwards everything, counts the requests of each function, and can be told to kill a function at an exact point:
after the cloud has applied one of its requests, and before the function hears of it.

    POST   /_arm     {"target": "UpdateItem", "contains": "...", "function": "to-crm", "nth": 1, "times": 1, "act": "kill_after"}
    DELETE /_arm     forget what is armed and not yet used
    GET    /_arm     {"armed": [...], "fired": [...]}
    GET    /_counts  {"<function>": {"<operation>": {"requests": n, "items": n, "answers": {"200": n}}}}
    DELETE /_counts  start counting from zero

Every field of an arm but `act` narrows it: `target` is the end of X-Amz-Target (`UpdateItem`) or, for S3, the HTTP
method; `contains` is a part of the body or the path; `function` is a part of the function's name. `act` is
`kill_before` (the cloud never sees the request), `kill_after`, `lose_answer` (applied, the connection is cut),
`refuse` (503 without applying). `operation` names of S3 requests are `S3.GET`, `S3.PUT` and so on.
"""

import argparse
import http.client
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import peer

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host"}
ACTS = ("kill_before", "kill_after", "lose_answer", "refuse")


class Faults:
    """What is armed, what has fired, and the counts. One lock: the traffic is small."""

    def __init__(self):
        self.lock = threading.Lock()
        self.armed = []
        self.fired = []
        self.counts = {}

    def arm(self, wish):
        unknown = set(wish) - {"target", "contains", "function", "nth", "times", "act"}
        if unknown or wish.get("act", "kill_after") not in ACTS:
            raise ValueError(f"unknown field or act in {sorted(wish)}; the acts are {', '.join(ACTS)}")
        with self.lock:
            self.armed.append({"act": "kill_after", "nth": 1, "times": 1, **wish, "seen": 0})

    def match(self, function, operation, path, body):
        """The act for this request, if one is armed for it."""
        with self.lock:
            for wish in self.armed:
                needle = wish.get("contains")
                if wish.get("target") and not operation.endswith("." + wish["target"]):
                    continue
                if wish.get("function") and wish["function"] not in function:
                    continue
                if needle and needle not in path and needle.encode() not in body:
                    continue
                wish["seen"] += 1
                if wish["seen"] < wish["nth"]:
                    continue
                wish["times"] -= 1
                if wish["times"] <= 0:
                    self.armed.remove(wish)
                return wish
        return None

    def record_fired(self, wish, function, operation, process):
        with self.lock:
            self.fired.append({"at": time.time(), "act": wish["act"], "function": function, "operation": operation, "pid": process})

    def count(self, function, operation, body, status):
        with self.lock:
            row = self.counts.setdefault(function, {}).setdefault(operation, {"requests": 0, "items": 0, "answers": {}})
            row["requests"] += 1
            row["items"] += written_items(operation, body) if status < 300 else 0
            row["answers"][str(status)] = row["answers"].get(str(status), 0) + 1


def written_items(operation, body):
    """How many items a DynamoDB write request writes; 0 for anything else."""
    name = operation.rsplit(".", 1)[-1]
    if not operation.startswith("DynamoDB"):
        return 0
    if name in ("PutItem", "UpdateItem", "DeleteItem"):
        return 1
    try:
        if name == "BatchWriteItem":
            return sum(len(requests) for requests in json.loads(body)["RequestItems"].values())
        if name == "TransactWriteItems":
            return sum(1 for action in json.loads(body)["TransactItems"] if "ConditionCheck" not in action)
    except (ValueError, KeyError):
        pass
    return 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment: on loopback, Nagle and delayed acknowledgements cost 40 ms otherwise.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def setup(self):
        super().setup()
        self.upstream = None
        self.process = None
        self.function = None

    def finish(self):
        if self.upstream:
            self.upstream.close()
        try:
            super().finish()
        except OSError:
            pass

    def owner(self):
        """The calling process and its function, looked up once a connection."""
        if self.function is None:
            self.process = peer.pid(self.client_address[1], self.server.server_address[1])
            self.function = (self.process and peer.environment(self.process, "AWS_LAMBDA_FUNCTION_NAME")) or "-"
        return self.function

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status >= 200 and status != 204 and not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def forward(self, body):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP | {"expect", "content-length"}}
        # Seconds, not milliseconds: the cloud answers a long poll of SQS after 20.
        for attempt in (1, 2):
            fresh = self.upstream is None
            if fresh:
                self.upstream = http.client.HTTPConnection(*self.server.cloud, timeout=120)
                self.upstream.connect()
                self.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.upstream.request(self.command, self.path, body=body or (b"" if self.command in ("PUT", "POST") else None), headers=headers)
                response = self.upstream.getresponse()
                return response.status, response.getheaders(), response.read()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                # An idle connection that the cloud closed: it has not seen this request.
                self.upstream.close()
                self.upstream = None
                if fresh or attempt == 2:
                    raise

    def handle_any(self):
        body = self.body()
        if self.path in ("/_arm", "/_counts"):
            return self.control(body)
        function = self.owner()
        operation = self.headers.get("X-Amz-Target") or f"S3.{self.command}"
        faults = self.server.faults
        wish = faults.match(function, operation, self.path, body)
        if wish:
            faults.record_fired(wish, function, operation, self.process)
            if wish["act"] == "kill_before":
                peer.kill_function(self.process)
                return self.cut()
            if wish["act"] == "refuse":
                return self.answer(503, [], b"{}")
        try:
            status, headers, answer = self.forward(body)
        except OSError as error:
            return self.answer(502, [], str(error).encode())
        faults.count(function, operation, body, status)
        if wish:
            if wish["act"] == "kill_after":
                peer.kill_function(self.process)
            return self.cut()
        kept = [(name, value) for name, value in headers if name.lower() not in HOP_BY_HOP]
        return self.answer(status, kept, answer)

    def control(self, body):
        faults = self.server.faults
        status, reply = 200, {}
        if (self.command, self.path) == ("POST", "/_arm"):
            try:
                faults.arm(json.loads(body))
            except ValueError as error:
                status, reply = 400, {"error": str(error)}
        elif (self.command, self.path) == ("DELETE", "/_arm"):
            with faults.lock:
                faults.armed.clear()
        elif (self.command, self.path) == ("GET", "/_arm"):
            with faults.lock:
                reply = json.loads(json.dumps({"armed": faults.armed, "fired": faults.fired}))
        elif (self.command, self.path) == ("DELETE", "/_counts"):
            with faults.lock:
                faults.counts.clear()
        elif (self.command, self.path) == ("GET", "/_counts"):
            with faults.lock:
                reply = json.loads(json.dumps(faults.counts))
        else:
            status, reply = 405, {"error": "the methods are POST, DELETE, GET"}
        self.answer(status, [("Content-Type", "application/json")], json.dumps(reply).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = handle_any


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, cloud):
        super().__init__(("127.0.0.1", port), Handler)
        self.cloud = cloud
        self.faults = Faults()

    def handle_error(self, request, client_address):
        # A function that was killed, or that closed its connection, is no error of ours.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError, ValueError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cloud-port", type=int, required=True)
    arguments = parser.parse_args()
    print(f"fault proxy on 127.0.0.1:{arguments.port}, pid {os.getpid()}", flush=True)
    Server(arguments.port, ("127.0.0.1", arguments.cloud_port)).serve_forever()


if __name__ == "__main__":
    main()
