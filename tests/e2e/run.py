#!/usr/bin/env python3
"""End to end on the deployed templates: `make e2e`, or `run.py NAME…` for some scenarios.

Ends with one line `N passed, N failed`; stops everything that it started.
"""

import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import world as w  # noqa: E402


def main(names):
    w.toolbox.inside()
    import crashes
    import debian
    import kinds
    import scenarios

    every = [*scenarios.SCENARIOS, *debian.SCENARIOS, *kinds.SCENARIOS, *crashes.SCENARIOS]
    chosen = [s for s in every if not names or s.__name__ in names]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    world = w.World(w.ROOT / ".local" / "e2e")
    failed = []
    try:
        world.start()
        for number, scenario in enumerate(chosen, 1):
            w.say(f"[{number}/{len(chosen)}] {scenario.__name__}")
            begun = time.monotonic()
            world.faults()
            try:
                scenario(world)
            except Exception as error:  # noqa: BLE001  each scenario on its own
                failed.append(scenario.__name__)
                w.say(f"      FAILED after {time.monotonic() - begun:.0f} s: {type(error).__name__}: {error}")
            else:
                w.say(f"      ok, {time.monotonic() - begun:.0f} s")
    finally:
        world.state.stop()
    w.say(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except w.Trouble as trouble:
        print(f"e2e: {trouble}", file=sys.stderr)
        sys.exit(1)
