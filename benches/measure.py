"""Runs a command as its own process and says what it took as a whole."""

import json
import os
import subprocess
import time
from dataclasses import dataclass


class Failed(Exception):
    """A measured process did not end well; the message has its last words."""


@dataclass
class Measured:
    wall_s: float
    # User and system time of all its threads.
    cpu_s: float
    # Largest resident memory.
    peak_mb: float
    # What it printed.
    said: dict


def run(command, threads):
    """Start to exit of one process on the first `threads` processors that we may use."""
    processors = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else None
    environment = os.environ | {"DRIFTLESS_BENCH_THREADS": str(threads), "PYTHONDONTWRITEBYTECODE": "1"}
    pinned = (lambda: os.sched_setaffinity(0, processors)) if processors else None
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=pinned)
    # A few lines at most: both pipes hold them until the process has ended.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    with process.stdout as stdout, process.stderr as stderr:
        out, err = stdout.read().decode(), stderr.read().decode(errors="replace")
    if process.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{err[-2000:] or out[-2000:]}")
    # ru_maxrss is in KiB on Linux, in bytes on macOS.
    unit = 1 << 20 if os.uname().sysname == "Darwin" else 1 << 10
    said = json.loads(out.splitlines()[-1]) if out.strip() else {}
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, said)
