"""A part of the machine matrix in every test run; `tools/exactness` without arguments runs all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aecodec.engine.choice import has_torch

TOOL = Path(__file__).parents[2] / "tools" / "exactness"
SETTINGS = ["1 thread", "float32", "SSE4.1", "batch of 4", "NumPy integers", "ONNX Runtime, strips of 8 rows"]


@pytest.mark.slow
@pytest.mark.skipif(not has_torch(), reason="nearly all settings are of torch")
def test_files_of_every_setting_decode_in_every_other(tmp_path):
    arguments = [part for name in SETTINGS for part in ("--only", name)]
    table = tmp_path / "table.json"
    done = subprocess.run([sys.executable, str(TOOL), "--level", "40", "--json", str(table), *arguments],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(table.read_text())
    assert [row["setting"] for row in rows] == ["default", *(name for name in ORDER if name in SETTINGS)]
    encoders = 1 + len(SETTINGS) - 2  # a batch and NumPy only decode
    for row in rows:
        assert row["files"] == 2 * encoders
        assert row["mismatches"] == 0
        assert row["largest_difference"] <= 2
        assert row["share_above_1"] <= 1e-4


#: As the tool has them.
ORDER = [line.split('"')[1] for line in TOOL.read_text().split("SETTINGS: ")[1].split("\n}")[0].splitlines()
         if line.startswith('    "')]
