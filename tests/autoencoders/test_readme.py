"""The examples of the page run as they stand, one after the other."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

PAGE = Path(__file__).resolve().parents[2] / "codec" / "autoencoders" / "README.md"


def test_the_examples_run():
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) == 7
    names: dict[str, object] = {}
    for example in examples:
        if "rdkit" in example and importlib.util.find_spec("rdkit") is None:
            continue  # it is an extra of its own
        exec(compile(example, str(PAGE), "exec"), names)
    assert names["between"].shape == (1, 8, 64)
