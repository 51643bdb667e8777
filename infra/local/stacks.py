"""Deploys the unchanged templates on the local cloud with the SAM CLI."""

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor

import toolbox
from services import REGION
from toolbox import ROOT, Trouble, say

# Short times, so that what a crash leaves comes back in seconds. The ratios are those of the templates' defaults:
# a visibility timeout is six times the function's timeout, a lease is longer than the timeout.
CORE = {
    "DeletionProtection": "false",
    "LogLevel": "DEBUG",
    "IngestTimeoutSeconds": 60,
    "IngestVisibilitySeconds": 360,
    "PlannerTimeoutSeconds": 60,
    "PlannerVisibilitySeconds": 360,
    "JanitorTimeoutSeconds": 60,
    "JanitorVisibilitySeconds": 360,
    "JanitorSchedule": "rate(1 minute)",
}
CONNECTOR = {
    "LogLevel": "DEBUG",
    "TimeoutSeconds": 20,
    "VisibilitySeconds": 120,
    "LeaseSeconds": 25,
    "AllowPrivateDestinations": "true",
}
FUNCTIONS = ("ingest", "planner", "janitor", "connector")


def parameters(defaults, wishes):
    chosen = dict(defaults)
    chosen["Architecture"] = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    for wish in wishes:
        name, equals, value = wish.partition("=")
        if not equals:
            raise Trouble(f"a parameter is NAME=VALUE, not {wish}")
        chosen[name] = value
    # The SAM CLI splits at spaces outside of quotes, also within one argument.
    return [f'{name}="{value}"' for name, value in chosen.items()]


def sam(state, log, command, wanted):
    """Runs the SAM CLI; `wanted` says what it is for."""
    log = state.folder / log
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        **state.credentials(),
        "AWS_ENDPOINT_URL": state.known["cloud"],
        "SAM_CLI_TELEMETRY": "0",
    }
    with open(log, "wb") as output:
        try:
            code = subprocess.run(
                [toolbox.tool("sam"), *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=ROOT, timeout=300, check=False
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise Trouble(f"{wanted} did not finish in 5 minutes; its log is {log}") from error
    if code != 0:
        end = " | ".join(log.read_text(errors="replace").strip().splitlines()[-4:])
        raise Trouble(f"{wanted} failed; the end of {log}: {end}")


def sam_deploy(state, template, stack, chosen):
    command = ["deploy", "--template-file", str(ROOT / template), "--stack-name", stack, "--region", REGION]
    command += ["--resolve-s3", "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"]
    command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
    sam(state, f"deploy-{stack}.log", [*command, "--parameter-overrides", *chosen], f"the deployment of {template}")


def packaged(state, template):
    """The template with its code uploaded: what is deployed many times is zipped once."""
    output = state.folder / f"packaged-{template.replace('/', '-')}"
    command = ["package", "--template-file", str(ROOT / template), "--region", REGION, "--resolve-s3", "--no-progressbar"]
    sam(state, "package.log", [*command, "--output-template-file", str(output)], f"the packaging of {template}")
    return output


def numbers(state):
    """The emulator keeps a number that comes from a parameter as text and then stops polling; AWS reads a number."""
    functions = state.client("lambda")
    for page in functions.get_paginator("list_event_source_mappings").paginate():
        for mapping in page["EventSourceMappings"]:
            most = int(mapping["ScalingConfig"]["MaximumConcurrency"])
            functions.update_event_source_mapping(
                UUID=mapping["UUID"],
                BatchSize=int(mapping["BatchSize"]),
                MaximumBatchingWindowInSeconds=int(mapping.get("MaximumBatchingWindowInSeconds") or 0),
                ScalingConfig={"MaximumConcurrency": most},
            )


def core(state, stage, wishes):
    missing = [name for name in FUNCTIONS if not (ROOT / ".build/lambda" / name / "bootstrap").exists()]
    if missing:
        raise Trouble(f"not built: {', '.join(missing)}; `make functions` builds them")
    say(f"deploying template.yaml as stage {stage}")
    sam_deploy(state, "template.yaml", f"driftless-{stage}", parameters({**CORE, "Stage": stage}, wishes))
    numbers(state)
    state.known["stage"] = stage
    state.known["bucket"] = f"driftless-{stage}-{state.known['account']}-{REGION}"
    state.save()


def connectors(state, stage, destinations, wishes):
    """A stack for each destination. `wishes` are the parameters of all of them, or a function that gives those of one."""
    template = "infra/connector.yaml"
    source = packaged(state, template) if len(destinations) > 1 else template

    def one(destination):
        say(f"deploying {template} for the destination {destination}")
        wished = wishes(destination) if callable(wishes) else wishes
        chosen = parameters({**CONNECTOR, "Stage": stage, "DestinationId": destination}, wished)
        # A stack's name has no underscore; a destination's may have.
        sam_deploy(state, source, f"driftless-{stage}-to-{destination}".replace("_", "-"), chosen)

    # Most of a deployment is waiting.
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(one, destinations))
    numbers(state)


def print_logs(state, function):
    logs = state.client("logs")
    for group in logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/driftless-")["logGroups"]:
        if function not in group["logGroupName"]:
            continue
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group["logGroupName"]):
            for event in page["events"]:
                say(f"{group['logGroupName'].rsplit('/', 1)[-1]} {event['message'].rstrip()}")
