"""What the fuzzer runs: functions of bytes that may raise nothing.

A target feeds its bytes to a part of the package that reads files of unknown origin. An `aecodec.AecError`, or a
command that ends with one line on standard error, is how such a part refuses; every other exception passes, and is a
finding, as is an assertion here that does not hold. The targets need neither the fuzzer nor a model of their own:
`tests/codec/test_corpus.py` runs them over the committed corpus.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import struct
import sys
import tempfile
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aecodec import coder, models
from aecodec.api import Codec
from aecodec.command import reporting
from aecodec.command.main import main
from aecodec.errors import AecError, CorruptFile
from aecodec.format import boxes, container, entropy
from aecodec.format.container import Box
from aecodec.jobs import loading
from aecodec.picture import lossless, metadata, reading, saving
from aecodec.picture.alpha import find_alpha, pack_alpha, unpack_alpha

MAX_PIXELS = 1 << 12  # keeps an execution quick
_BOX_HEAD, _CRC = 8, 4
_KINDS = (boxes.ALPHA, boxes.ICC, boxes.EXIF, boxes.XMP)


# -- container ----------------------------------------------------------------------------------------------------


def resigned(data: bytes, **changes: Any) -> bytes:
    """The bytes as a file whose lengths and checksums are right, and with `changes` of its header fields.

    What is no file by its header is left as it is: that has to be found without checksums.
    """
    try:
        header, at = container.read_header(data)
    except AecError:
        return data
    rest = data[at:]
    payload, tail = rest[:header.payload_length], rest[header.payload_length + _CRC:]
    signed_boxes, count = b"", 0
    while len(tail) >= _BOX_HEAD and count < container.MAX_BOXES:
        length = min(int.from_bytes(tail[4:_BOX_HEAD], "little"), len(tail) - _BOX_HEAD)
        body = tail[:4] + struct.pack("<I", length) + tail[_BOX_HEAD:_BOX_HEAD + length]
        signed_boxes += body + struct.pack("<I", zlib.crc32(body))
        tail, count = tail[_BOX_HEAD + length + _CRC:], count + 1
    header = dataclasses.replace(header, payload_length=len(payload), boxes=count, **changes)
    front = container.write_header(header) + payload
    return front + struct.pack("<I", zlib.crc32(front)) + signed_boxes


def fuzz_container(data: bytes) -> None:
    """A file's bytes, as they are and with right checksums. What can be read is written as the same bytes."""
    for content in (data, resigned(data)):
        with contextlib.suppress(AecError):
            header, at = container.read_header(content)
            assert container.write_header(header) == content[:at]
            assert container.read_header(content[:64]) == (header, at)
        for known in (boxes.KNOWN, None):
            with contextlib.suppress(AecError):
                file = container.read_file(content, known)
                assert container.write_file(file) == content


# -- entropy ------------------------------------------------------------------------------------------------------


@functools.cache
def shipped_tables() -> entropy.Tables:
    """The tables of the default model."""
    tensors = models.load(models.find()).tensors
    return entropy.Tables(tensors[models.TABLE_COUNTS], tensors[models.TABLE_HALVES])


def fuzz_entropy(data: bytes) -> None:
    """A byte n, n bytes of table indices, and a payload that is decoded in two parts.

    What can be decoded is decoded to the same again after it was encoded.
    """
    if not data:
        return
    tables = shipped_tables()
    index = np.frombuffer(data[1:1 + data[0]], np.uint8) % len(tables.half)
    halves = index[:len(index) // 2], index[len(index) // 2:]
    decoder = entropy.SymbolDecoder(tables, data[1 + data[0]:])
    try:
        decoded = [decoder.decode(half) for half in halves]
    except CorruptFile:
        return
    encoder = entropy.SymbolEncoder(tables)
    for half, symbols in zip(halves, decoded, strict=True):
        assert symbols.shape == half.shape
        assert not symbols[half == 0].any()
        encoder.encode(symbols, half)
    again = entropy.SymbolDecoder(tables, encoder.finish())
    for half, symbols in zip(halves, decoded, strict=True):
        assert np.array_equal(again.decode(half), symbols)


# -- boxes --------------------------------------------------------------------------------------------------------


def fuzz_boxes(data: bytes) -> None:
    """Two bytes of size, one that chooses the box and whether the rest is its data or what its data decompress to.

    What can be read is kept in every picture format, or said to be lost. EXIF and XMP are also what any picture
    brings along, and are turned upright.
    """
    if len(data) < 3:
        return
    width, height, choice, content = data[0] % 64 + 1, data[1] % 64 + 1, data[2], data[3:]
    kind = _KINDS[choice % 4]
    box = Box(kind, zlib.compress(content, 1) if choice & 4 else content)
    try:
        alpha, contents = find_alpha([box], width, height), boxes.metadata([box])
    except CorruptFile:
        return
    if kind == boxes.ALPHA:
        assert alpha is not None
        assert (alpha.shape, alpha.dtype) == ((height, width), np.uint8)
        assert np.array_equal(unpack_alpha(pack_alpha(alpha), width, height), alpha)
    grey = bool(choice & 8)
    image = reading.to_image(np.zeros((height, width, 3), np.uint8), grey, alpha, contents)
    formats = list(saving.FORMATS.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of EXIF that Pillow finds odd, and of what is left out
        saving.save(image, io.BytesIO(), formats[(choice >> 4) % len(formats)])
        with contextlib.suppress(AecError):
            reading.read(image)
    if kind in (boxes.EXIF, boxes.XMP) and choice & 4:
        orientation = choice >> 5
        upright = (metadata.upright_exif if kind == boxes.EXIF else lambda xmp, _: metadata.upright_xmp(xmp))
        assert len(upright(content, orientation)) == len(content)


# -- decoding -----------------------------------------------------------------------------------------------------


@functools.cache
def shipped_codec() -> Codec:
    """The default model on the CPU, for small pictures."""
    return Codec(engine="onnx", threads=1, limit_pixels=MAX_PIXELS)


@functools.cache
def shipped_hash() -> bytes:
    return models.load(shipped_codec().model).bundle_hash


def adopted(data: bytes, **changes: Any) -> bytes:
    """The bytes as a file of the shipped model, or of none if it is lossless, with right checksums."""
    if not _lossless(data):
        changes |= {"model_id": shipped_codec().model.id, "bundle_hash": shipped_hash()}
    return resigned(data, **changes)


def _lossless(data: bytes) -> bool:
    try:
        return container.read_header(data)[0].lossless
    except AecError:
        return False


@contextlib.contextmanager
def _symbol_crcs() -> Iterator[list[int]]:
    """The checksums of symbols, and of the samples of lossless files, that are computed meanwhile."""
    found: list[int] = []
    symbols, samples = coder.symbol_crc, lossless.sample_crc

    def recording(crc: Callable[..., int]) -> Callable[..., int]:
        def recorded(*arrays: np.ndarray) -> int:
            found.append(crc(*arrays))
            return found[-1]

        return recorded

    coder.symbol_crc, lossless.sample_crc = recording(symbols), recording(samples)
    try:
        yield found
    finally:
        coder.symbol_crc, lossless.sample_crc = symbols, samples


def _decode(data: bytes) -> list[int]:
    """Decode, if it can be; the symbol CRC that the file would need."""
    with _symbol_crcs() as found, contextlib.suppress(AecError):
        image = shipped_codec().decode(data)
        header = container.read_file(data, boxes.KNOWN).header
        assert image.size == (header.width, header.height)
        assert image.mode.removesuffix("A") == header.mode.removesuffix("A")
    return found


def fuzz_decode(data: bytes) -> None:
    """A file as it is; made for the shipped model; and with its CRC of symbols or samples forged as well, so that it is
    a picture."""
    _decode(data)
    found = _decode(adopted(data))
    if found:
        forged = adopted(data, symbol_crc=found[0])
        image = shipped_codec().decode(forged, output="array")
        assert np.array_equal(shipped_codec().decode(forged, output="array"), image)


# -- the command --------------------------------------------------------------------------------------------------


def run_command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments), prog_name="aecodec")
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("the command did not end")


def fuzz_command(data: bytes) -> None:
    """`info`, `test` and `decompress` on a file of these bytes, as they are and made for the shipped model."""
    loading.load_codec = lambda *_: shipped_codec()  # type: ignore[assignment]
    ending = (".png", ".jpg", ".webp", ".tif", ".bmp", ".ppm")[len(data) % 6]  # what every Pillow writes
    limits = ("--threads", "1", "--limit-pixels", str(MAX_PIXELS))
    with tempfile.TemporaryDirectory(dir=_quick_folder()) as folder:
        path, out = Path(folder, "x.aec"), Path(folder, f"out{ending}")
        for content in (data, adopted(data)):
            path.write_bytes(content)
            for arguments in (("info", str(path)), ("info", "--json", str(path)), ("test", str(path), *limits),
                              ("decompress", str(path), "-o", str(out), *limits)):
                code, _, err = run_command(*arguments)
                lines = [line for line in err.splitlines() if not line.startswith("aecodec: warning: ")]
                if code:
                    assert code in (reporting.FAILED, reporting.DAMAGED, reporting.TOO_NEW), (arguments, code)
                    assert len(lines) == 1, err
                    assert lines[0].startswith("aecodec: "), err
                    assert str(path) in lines[0], err
                assert (arguments[0] == "decompress" and code == 0) == out.exists()
            out.unlink(missing_ok=True)
            assert os.listdir(folder) == ["x.aec"]


@functools.cache
def _quick_folder() -> str | None:
    """In memory, where there is such a folder: the command waits for the disk."""
    return "/dev/shm" if sys.platform == "linux" and os.access("/dev/shm", os.W_OK) else None


TARGETS: dict[str, Callable[[bytes], None]] = {
    "container": fuzz_container, "entropy": fuzz_entropy, "boxes": fuzz_boxes, "decode": fuzz_decode,
    "command": fuzz_command,
}


def seeds(target: str) -> dict[str, bytes]:
    """Inputs by name that need the shipped weights to be made, so that they are not committed."""
    if target not in ("decode", "command"):
        return {}
    made = {}
    rng = np.random.default_rng(0)
    shapes = {"grey": (9, 17), "grey-alpha": (16, 20, 2), "rgb": (33, 40, 3), "rgb-alpha": (20, 30, 4)}
    for name, shape in shapes.items():
        smooth = np.cumsum(rng.integers(-3, 4, shape), axis=1) + 128
        for level in (0, 40, 63):
            made[f"{name}-{level}"] = shipped_codec().encode(smooth.astype(np.uint8), level=level)
        made[f"{name}-lossless"] = shipped_codec().encode(smooth.astype(np.uint8), lossless=True)
    return made
