"""A script of its own: run a command again and again, and print how long it took and how much memory.

    python launcher.py RUNS COMMAND...

prints JSON: `seconds` and `peak_mb` of each run (nothing where the system does not tell), and `status`, the first exit
status that was not 0. The first run warms up and is not told. It imports next to nothing, because a process begins with
the peak of memory of the one that started it.
"""

import json
import os
import subprocess
import sys
import time


def run(command: "list[str]") -> "tuple[int, float, float | None]":
    """Exit status, seconds and peak of resident memory in MiB."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        if not hasattr(os, "wait4"):  # Windows
            return process.wait(), time.perf_counter() - began, None
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        return process.returncode, seconds, usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def main() -> None:
    runs, command = int(sys.argv[1]), sys.argv[2:]
    told = [run(command) for _ in range(1 + runs)]
    print(json.dumps({"seconds": [seconds for _, seconds, _ in told[1:]],
                      "peak_mb": [peak for _, _, peak in told[1:] if peak is not None],
                      "status": next((status for status, _, _ in told if status), 0)}))


if __name__ == "__main__":
    main()
