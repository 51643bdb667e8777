"""The Python tools of the local cloud, in a virtual environment outside the checkout."""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


class Trouble(Exception):
    """Something that a person must change; the message says what, in one line."""


def cache():
    """Where downloads and builds live: never inside the checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftless"


def say(message):
    print(message, flush=True)


def home():
    return Path(os.environ.get("DRIFTLESS_VENV") or cache() / "venv")


def tool(name):
    return str(home() / "bin" / name)


def ensure():
    """Makes the environment if it is missing or made from other requirements. Safe to call from several processes."""
    import fcntl

    wanted = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in ("requirements.txt", "constraints.txt"))).hexdigest()
    stamp = home() / "driftless-requirements"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    if sys.version_info < (3, 10):
        raise Trouble(f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}")
    home().parent.mkdir(parents=True, exist_ok=True)
    with open(home().parent / "venv.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        say(f"installing the Python tools into {home()} (once; about 400 MB, a few minutes)")
        if not (home() / "bin" / "python").exists():
            try:
                venv.create(home(), with_pip=True)
            except (subprocess.CalledProcessError, OSError) as error:
                raise Trouble(f"python3 cannot make a virtual environment ({error}); on Debian: apt install python3-venv") from error
        log = home().parent / "pip-install.log"
        with open(log, "wb") as output:
            command = [str(home() / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(HERE / "requirements.txt")]
            try:
                code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=1800).returncode
            except subprocess.TimeoutExpired as error:
                raise Trouble(f"pip did not finish in 30 minutes; its log is {log}") from error
        if code != 0:
            raise Trouble(f"pip could not install infra/local/requirements.txt; its log is {log}")
        stamp.write_text(wanted)


def inside():
    """Continues this very program with the environment's Python, so that boto3 and duckdb can be imported."""
    ensure()
    if Path(sys.prefix).resolve() != home().resolve():
        python = str(home() / "bin" / "python")
        os.execv(python, [python, *sys.argv])


if __name__ == "__main__":
    try:
        ensure()
    except Trouble as trouble:
        print(f"toolbox.py: {trouble}", file=sys.stderr)
        sys.exit(1)
