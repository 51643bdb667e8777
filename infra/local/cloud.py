#!/usr/bin/env python3
"""The local cloud: an emulated AWS on loopback, with the unchanged templates deployed on it.

    cloud.py up                     start the emulated AWS and the fault proxy
    cloud.py deploy                 deploy template.yaml, and infra/connector.yaml for each --destination
    cloud.py serve rest|scim        start a remote system to keep lists in
    cloud.py run -- COMMAND ...     up, deploy, run the command with the environment, and always down
    cloud.py env                    print the environment of a running local cloud, for `eval`
    cloud.py logs [FUNCTION]        print what the functions logged
    cloud.py down                   stop everything that was started with this --state

Everything listens on 127.0.0.1 only, and everything it knows is in the folder given by --state (default .local).
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import stacks
import toolbox
from services import State
from toolbox import Trouble, say

STAGE = "dev"


def parser():
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--state", type=Path, default=toolbox.ROOT / ".local", help="folder of this local cloud")
    commands = top.add_subparsers(dest="command", required=True)

    def deployment(command):
        command.add_argument("--stage", default=STAGE)
        command.add_argument("--destination", action="append", default=[], help="deploy a connector for it; may be repeated")
        command.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a parameter of template.yaml")
        command.add_argument("--set-connector", action="append", default=[], metavar="NAME=VALUE", help="a parameter of infra/connector.yaml")

    commands.add_parser("up")
    deployment(commands.add_parser("deploy"))
    serve = commands.add_parser("serve")
    serve.add_argument("system", choices=["rest", "scim"])
    serve.add_argument("options", nargs=argparse.REMAINDER, help="passed on to rest_server.py")
    run = commands.add_parser("run")
    deployment(run)
    run.add_argument("--serve", action="append", default=[], choices=["rest", "scim"])
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    commands.add_parser("env")
    logs = commands.add_parser("logs")
    logs.add_argument("function", nargs="?", default="")
    commands.add_parser("down")
    return top


def deploy(state, arguments):
    stacks.core(state, arguments.stage, arguments.set)
    stacks.connectors(state, arguments.stage, arguments.destination, arguments.set_connector)


def run(state, arguments):
    command = arguments.arguments[1:] if arguments.arguments[:1] == ["--"] else arguments.arguments
    if not command:
        raise Trouble("nothing to run: cloud.py run -- COMMAND ...")
    try:
        state.start_cloud()
        deploy(state, arguments)
        for system in arguments.serve:
            state.start_remote(system, [])
        return subprocess.run(command, env={**os.environ, **state.environment()}).returncode
    finally:
        state.stop()


def main():
    arguments = parser().parse_args()
    # A terminated run must still stop what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    toolbox.inside()
    state = State(arguments.state)
    match arguments.command:
        case "up":
            state.start_cloud()
            say(f"the local cloud is up; eval \"$({sys.argv[0]} --state {state.folder} env)\" points the AWS tools and driftless at it")
        case "deploy":
            deploy(state, arguments)
        case "serve":
            say(json.dumps(state.start_remote(arguments.system, arguments.options)))
        case "run":
            return run(state, arguments)
        case "env":
            for name, value in state.environment().items():
                say(f"export {name}={value}")
        case "logs":
            stacks.print_logs(state, arguments.function)
        case "down":
            state.stop()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(f"cloud.py: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
