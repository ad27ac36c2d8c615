"""The committed corpus through the fuzzer's targets, without the fuzzer; and each file gives the error it is kept for.

tools/fuzz/make_corpus.py writes the corpus and says what each file is.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import aecodec
from aecodec.command import inspect
from aecodec.format import boxes, container
from aecodec.jobs import loading
from aecodec.picture import lossless
from aecodec.picture.alpha import find_alpha

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for path in (ROOT / "tests" / "corrupt").rglob("*") if path.is_file())
REFUSED = [path for path in FILES if path.parent.name not in ("valid", "inputs")]
VALID = [path for path in FILES if path.parent.name == "valid"]
NAMES = ("container", "entropy", "boxes", "decode", "command")

pytestmark = pytest.mark.filterwarnings("ignore::aecodec.errors.LargePictureWarning")


def load(name: str):
    """A module of tools/fuzz, which is no package."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", ROOT / "tools" / "fuzz" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def targets():
    """The targets, with the command's codec as before afterwards."""
    from PIL import Image

    codec, limit = loading.load_codec, Image.MAX_IMAGE_PIXELS
    yield load("targets")
    loading.load_codec, Image.MAX_IMAGE_PIXELS = codec, limit


def label(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def read(data: bytes) -> container.AecFile:
    """All that can be read without weights."""
    file = container.read_file(data, boxes.KNOWN)
    container.check_pixels(file.header.width, file.header.height)
    find_alpha(file.boxes, file.header.width, file.header.height)
    boxes.metadata(file.boxes)
    if file.header.lossless:
        lossless.decode(file)
    return file


def test_the_corpus_is_there():
    assert len(REFUSED) >= 40
    assert len(VALID) >= 10
    assert {path.parent.name for path in REFUSED} == {"NotAec", "CorruptFile", "UnsupportedVersion", "LimitExceeded"}
    assert sum(path.stat().st_size for path in FILES) < 100_000


def test_the_corpus_is_what_its_maker_says():
    """By name; what zlib makes of the same data may be other bytes elsewhere."""
    made = load("make_corpus").FILES
    assert {label(path) for path in FILES} == set(made)


@pytest.mark.parametrize("path", REFUSED, ids=label)
def test_a_file_is_refused_with_the_error_it_is_kept_for(path):
    with pytest.raises(aecodec.AecError) as raised:
        read(path.read_bytes())
    assert type(raised.value).__name__ == path.parent.name


@pytest.mark.parametrize("path", VALID, ids=label)
def test_an_odd_file_is_read_and_written_as_the_same_bytes(codec, path):
    data = path.read_bytes()
    assert container.write_file(read(data)) == data
    if aecodec.read_header(data).lossless:
        assert codec.decode(data).mode == "LA"
        return
    with pytest.raises(aecodec.UnknownModel):
        codec.decode(data)


@pytest.mark.parametrize("name", NAMES)
def test_every_target_takes_the_whole_corpus(targets, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", aecodec.errors.LargePictureWarning)
        for path in FILES:
            targets.TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_every_target_takes_what_it_may_be_given(targets, name):
    """Nothing at all, and random bytes."""
    assert set(targets.TARGETS) == set(NAMES)
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 3, 17, 300):
        targets.TARGETS[name](rng.bytes(length))


@pytest.mark.parametrize("name", ["decode", "command"])
def test_seeds_are_pictures(targets, name):
    seeds = targets.seeds(name)
    assert len(seeds) >= 4
    for data in seeds.values():
        assert targets._decode(data)
        targets.TARGETS[name](data)


def test_signing_again_leads_behind_the_checksums(targets, codec):
    """A damaged file is read again, and a forged one decodes to a picture: the targets do reach what they are for."""
    data = targets.seeds("decode")["rgb-alpha-40"]
    file = container.read_file(data, boxes.KNOWN)
    assert targets.resigned(data) == data
    payload_at = container.read_header(data)[1]
    damaged = data[:payload_at] + bytes([data[payload_at] ^ 1]) + data[payload_at + 1:]
    with pytest.raises(aecodec.CorruptFile, match="checksum"):
        container.read_file(damaged, boxes.KNOWN)
    again = container.read_file(targets.resigned(damaged), boxes.KNOWN)
    assert (again.header, again.boxes) == (file.header, file.boxes)
    forged = 0
    for position in range(payload_at, payload_at + len(file.payload)):
        damaged = data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]
        found = targets._decode(targets.adopted(damaged))
        if found:
            assert codec.decode(targets.adopted(damaged, symbol_crc=found[0])).size == (30, 20)
            forged += 1
    assert forged > 5


@pytest.mark.parametrize(("name", "broken"), [
    ("container", "read_file"), ("boxes", "metadata"), ("entropy", "decode"), ("command", "info")])
def test_a_target_finds_what_is_wrong(targets, monkeypatch, name, broken):
    """With a fault put into what it tests, it fails on some file of the corpus."""
    def fault(*_: object, **__: object) -> None:
        raise IndexError("a fault")

    def over_the_corpus() -> None:
        for path in FILES:
            targets.TARGETS[name](path.read_bytes())

    if name == "container":
        monkeypatch.setattr(container, broken, fault)
    elif name == "boxes":
        monkeypatch.setattr(boxes, broken, fault)
    elif name == "entropy":
        monkeypatch.setattr(targets.entropy.SymbolDecoder, broken, fault)
    else:
        monkeypatch.setattr(getattr(inspect, broken), "callback", fault)
    with pytest.raises((IndexError, AssertionError)):
        over_the_corpus()
