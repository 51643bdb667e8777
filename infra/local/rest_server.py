#!/usr/bin/env python3
"""A remote system that holds lists, for the tests and the demo: a plain JSON API with faults on demand.

The API (bearer token; a record is a JSON object, matched by its identifier field; adding and updating are upserts):

    POST   /lists/{list}/members          {"records": [{...}]}            add
    PUT    /lists/{list}/members          {"records": [{...}]}            update (PATCH is the same)
    POST   /lists/{list}/members/remove   {"records": [{...}]}            remove
    GET    /lists/{list}/members?cursor=&limit=                           list, page by page
    GET    /lists/{list}                                                  {"name", "size"}

    answer of the first three: {"results": [{"status": "ok"} or {"status": "error", "code": "...", "message": "..."}]}, by position

The controls (no token; they are not part of the API and are not logged):

    GET    /_control/health
    GET    /_control/log?from=N           every request, one JSON object each
    DELETE /_control/log
    GET    /_control/list/{list}          {"size", "records": {identifier: record}}
    PUT    /_control/list/{list}          {"identifier": "email"}: the field by which this list matches records
    DELETE /_control/list/{list}          empty the list by hand
    POST   /_control/faults               switch faults on (see `Faults`); DELETE switches all off, GET shows them

It is deterministic: the same requests in the same order get the same answers. Nothing is random.
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import peer


class Faults:
    """What goes wrong. Every field is off until it is posted; a post replaces the fields that it names.

    reject           list of identifiers that are answered with an error until they are lifted
    reject_percent   so many per cent of all identifiers, chosen by hash, are answered with an error
    reject_code      the code of those errors (default "invalid")
    all_or_nothing   true: a batch with a bad row is refused whole with 422 and changes nothing
    status           {"every": n, "code": 500, "applied": false, "retry_after": s}: every nth call fails, before or after it is applied
    lose_answer      {"every": n}: every nth call is applied and the connection is cut
    throttle         {"calls": n, "retry_after": s or null}: so many calls are answered with 429
    down             "503" or "refuse" (the connection is cut at once), or null
    delay            seconds that each call takes
    kill_client      {"nth": n, "op": "add"}: after the nth matching call is applied, the calling function is killed; once
    identifiers      identifiers, or null: the faults `status`, `lose_answer` and `kill_client` look only at calls that hold one of them
    """

    NAMES = ("reject", "reject_percent", "reject_code", "all_or_nothing", "status", "lose_answer", "throttle", "down", "delay")
    NAMES += ("kill_client", "identifiers")

    def __init__(self):
        self.clear()

    def clear(self):
        self.set = dict.fromkeys(self.NAMES)
        self.seen = {"status": 0, "lose_answer": 0, "kill_client": 0}
        self.throttled = 0

    def change(self, wish):
        unknown = sorted(set(wish) - set(self.NAMES))
        if unknown:
            raise ValueError(f"unknown fault {', '.join(unknown)}; known: {', '.join(self.NAMES)}")
        self.set.update(wish)
        for name in set(wish) & set(self.seen):
            self.seen[name] = 0
        if "throttle" in wish:
            self.throttled = 0

    def rejects(self, identifier):
        if identifier in (self.set["reject"] or ()):
            return True
        percent = self.set["reject_percent"]
        if not percent:
            return False
        # Not Python's hash(): that one is different in every process.
        return int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:4], "big") % 10_000 < percent * 100

    def due(self, name, op, identifiers):
        """Whether the fault `name` hits this call; counts the call."""
        wish = self.set[name]
        if not wish or wish.get("op", op) != op:
            return None
        if self.set["identifiers"] and not set(self.set["identifiers"]) & set(identifiers):
            return None
        self.seen[name] += 1
        if name == "kill_client":
            if self.seen[name] != wish.get("nth", 1):
                return None
            self.set[name] = None
            return wish
        return wish if self.seen[name] % wish.get("every", 1) == 0 else None


class Lists:
    """The lists, the request log and the faults, under one lock."""

    def __init__(self, identifier, limit, log):
        self.identifier = identifier
        self.identifiers = {}
        self.limit = limit
        self.lists = {}
        self.faults = Faults()
        self.lock = threading.Lock()
        self.log = []
        self.file = open(log, "a", encoding="utf-8", buffering=1) if log else None

    def record(self, entry):
        self.log.append(entry)
        if self.file:
            self.file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def name(self, name, record):
        """What a record of a list is matched by, or None."""
        field = self.identifiers.get(name, self.identifier)
        value = record.get(field) if isinstance(record, dict) else None
        if value is None or value == "":
            return None
        return value if isinstance(value, str) else json.dumps(value)

    def check(self, name, records):
        """The error of each row, by position, or None."""
        errors = []
        for record in records:
            identifier = self.name(name, record)
            if identifier is None:
                errors.append({"status": "error", "code": "missing_identifier", "message": "the identifier is missing"})
            elif self.faults.rejects(identifier):
                code = self.faults.set["reject_code"] or "invalid"
                errors.append({"status": "error", "code": code, "message": "this record is refused"})
            else:
                errors.append(None)
        return errors

    def apply(self, op, name, records, errors):
        members = self.lists.setdefault(name, {})
        for record, error in zip(records, errors):
            if error:
                continue
            if op == "remove":
                members.pop(self.name(name, record), None)
            else:
                members[self.name(name, record)] = record


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        pass

    def answer(self, status, body, headers=()):
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response_only(status)
        for name, value in (("Content-Type", "application/json"), ("Content-Length", str(len(data))), *headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def finish(self):
        try:
            super().finish()
        except OSError:
            pass

    def handle_any(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if parts[0] == "_control":
            return self.control(parts[1:], query, body)
        return self.api(parts, query, body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    # ------------------------------------------------------------ the API

    def api(self, parts, query, body):
        store = self.server.store
        entry = {"time": time.time(), "method": self.command, "path": self.path, "op": None, "list": None}
        entry.update({"records": 0, "identifiers": [], "applied": False, "status": 0})
        key = self.headers.get("Idempotency-Key")
        if key:
            entry["idempotency_key"] = key
        delay = store.faults.set["delay"]
        if delay:
            time.sleep(delay)
        with store.lock:
            status, reply, headers, after = self.decide(parts, query, body, entry)
            entry["status"] = status
            # 0: the caller got no answer.
            entry["killed"] = after == "kill"
            store.record(entry)
        if after == "kill":
            peer.kill_function(peer.pid(self.client_address[1], self.server.server_address[1]))
        if after:
            return self.cut()
        return self.answer(status, reply, headers)

    def decide(self, parts, query, body, entry):
        """Status, body, headers, and `kill` or `cut` where the caller gets no answer (its status is then 0)."""
        store, faults = self.server.store, self.server.store.faults
        if faults.set["down"] == "refuse":
            return 0, {}, (), "cut"
        if faults.set["down"]:
            return 503, {"error": "down for maintenance"}, (), None
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            return 401, {"error": "the token is missing or wrong"}, (), None
        if len(parts) < 2 or parts[0] != "lists":
            return 404, {"error": "no such resource"}, (), None
        entry["list"] = parts[1]
        members = store.lists.setdefault(parts[1], {})
        ops = {("POST", "members"): "add", ("PUT", "members"): "update", ("PATCH", "members"): "update", ("POST", "members/remove"): "remove"}
        rest = "/".join(parts[2:])
        if self.command == "GET" and rest == "":
            entry["op"] = "describe"
            return 200, {"name": parts[1], "size": len(members)}, (), None
        if self.command == "GET" and rest == "members":
            entry["op"] = "list"
            return 200, self.page(members, query), (), None
        op = ops.get((self.command, rest))
        if op is None:
            return 405, {"error": "no such operation"}, (), None
        entry["op"] = op
        throttle = faults.set["throttle"]
        if throttle and faults.throttled < throttle.get("calls", 1):
            faults.throttled += 1
            wait = throttle.get("retry_after")
            return 429, {"error": "too many requests"}, () if wait is None else (("Retry-After", str(wait)),), None
        try:
            records = json.loads(body)["records"]
            if not isinstance(records, list):
                raise ValueError
        except (ValueError, KeyError, TypeError):
            return 400, {"error": "the body is not {\"records\": [...]}"}, (), None
        entry["records"] = len(records)
        entry["identifiers"] = [store.name(parts[1], record) for record in records]
        entry["digests"] = [hashlib.md5(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8] for record in records]
        if len(records) > store.limit:
            return 413, {"error": f"at most {store.limit} records"}, (), None
        return self.change(op, parts[1], records, entry)

    def change(self, op, name, records, entry):
        store, faults = self.server.store, self.server.store.faults
        errors = store.check(name, records)
        if faults.set["all_or_nothing"] and any(errors):
            return 422, {"error": "the batch holds a bad row"}, (), None
        fault = faults.due("status", op, entry["identifiers"])
        headers = (("Retry-After", str(fault["retry_after"])),) if fault and fault.get("retry_after") is not None else ()
        if fault and not fault.get("applied"):
            return fault.get("code", 500), {"error": "a fault on demand"}, headers, None
        store.apply(op, name, records, errors)
        entry["applied"] = True
        entry["rejected"] = [who for who, error in zip(entry["identifiers"], errors) if error]
        # Both are counted for each call, so that one does not shift the other.
        lost, killed = faults.due("lose_answer", op, entry["identifiers"]), faults.due("kill_client", op, entry["identifiers"])
        if killed:
            return 0, {}, (), "kill"
        if lost:
            return 0, {}, (), "cut"
        if fault:
            return fault.get("code", 500), {"error": "a fault on demand"}, headers, None
        return 200, {"results": [error or {"status": "ok"} for error in errors]}, (), None

    @staticmethod
    def page(members, query):
        limit = max(1, min(int(query.get("limit") or 1000), 1000))
        names = sorted(members)
        if query.get("cursor"):
            names = [name for name in names if name > query["cursor"]]
        shown = names[:limit]
        return {"records": [members[name] for name in shown], "next": shown[-1] if len(names) > limit else None}

    # ------------------------------------------------------------ the controls

    def control(self, parts, query, body):
        store = self.server.store
        with store.lock:
            match (self.command, parts[:1], parts[1:]):
                case ("GET", ["health"], _):
                    reply = {"ok": True}
                case ("GET", ["log"], _):
                    reply = store.log[int(query.get("from") or 0) :]
                case ("DELETE", ["log"], _):
                    store.log.clear()
                    reply = {}
                case ("GET", ["list"], [name]):
                    members = store.lists.get(name, {})
                    reply = {"size": len(members), "records": dict(members)}
                case ("PUT", ["list"], [name]):
                    store.identifiers[name] = json.loads(body)["identifier"]
                    reply = {}
                case ("DELETE", ["list"], [name]):
                    store.lists.pop(name, None)
                    reply = {}
                case ("GET", ["faults"], _):
                    reply = store.faults.set
                case ("DELETE", ["faults"], _):
                    store.faults.clear()
                    reply = {}
                case ("POST", ["faults"], _):
                    try:
                        store.faults.change(json.loads(body))
                    except ValueError as error:
                        return self.answer(400, {"error": str(error)})
                    reply = store.faults.set
                case _:
                    return self.answer(404, {"error": "no such control"})
        return self.answer(200, reply)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, token, store):
        super().__init__(("127.0.0.1", port), Handler)
        self.token = token
        self.store = store

    def handle_error(self, request, client_address):
        # A client that was killed or has gone is what the faults are for.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", default="lab-secret")
    parser.add_argument("--identifier", default="id", help="the field by which records are matched")
    parser.add_argument("--limit", type=int, default=500, help="the most records of a call; more are answered with 413")
    parser.add_argument("--log", help="append each request to this file, one JSON object a line")
    arguments = parser.parse_args()
    print(f"rest destination on 127.0.0.1:{arguments.port}, pid {os.getpid()}", flush=True)
    Server(arguments.port, arguments.token, Lists(arguments.identifier, arguments.limit, arguments.log)).serve_forever()


if __name__ == "__main__":
    main()
