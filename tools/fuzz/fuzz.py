#!/usr/bin/env python3
"""Look for bytes that make the package fail otherwise than with its own errors.

    python tools/fuzz/fuzz.py TARGET [CORPUS ...] [-max_total_time=SECONDS] [other options of libFuzzer]

TARGET is container, entropy, boxes, decode or command: see targets.py. New inputs that reach new code go into the
first CORPUS folder, without one into a folder for temporary files; tests/corrupt is always read too. What fails is
written to a file crash-..., and is run alone with

    python tools/fuzz/fuzz.py TARGET crash-...

Needs atheris, which is not among the project's dependencies: pip install atheris
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parents[1] / "tests" / "corrupt"

try:
    import atheris
except ImportError:
    sys.exit("fuzzing needs atheris; install it with: pip install atheris")

import onnxruntime  # noqa: E402, F401 (before the instrumentation, which is for our own modules)

with atheris.instrument_imports(include=["aecodec", "targets"]):
    sys.path.insert(0, str(HERE))
    import targets


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in targets.TARGETS:
        sys.exit(f"name a target: {', '.join(targets.TARGETS)}\n{__doc__}")
    target = targets.TARGETS[sys.argv[1]]
    options = [argument for argument in sys.argv[2:] if argument.startswith("-")]
    inputs = [argument for argument in sys.argv[2:] if not argument.startswith("-")]
    if not any(Path(name).is_file() for name in inputs):  # libFuzzer takes files to run, or folders to start from
        if not inputs:
            inputs = [str(Path(tempfile.gettempdir(), f"aecodec-fuzz-{sys.argv[1]}"))]
        Path(inputs[0]).mkdir(parents=True, exist_ok=True)
        for name, data in targets.seeds(sys.argv[1]).items():
            Path(inputs[0], name).write_bytes(data)
        inputs += [str(folder) for folder in sorted(CORPUS.iterdir()) if folder.is_dir()]
    with contextlib.suppress(KeyboardInterrupt):
        # libFuzzer's own limit of memory, 2 GB, is reached by what atheris keeps of every execution.
        defaults = ["-max_len=4096", "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *defaults, *options, *inputs], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
