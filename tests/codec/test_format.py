"""FORMAT.md is complete: a reader written from it, in plain Python and NumPy, decodes what the package writes.

Nothing of the package is used to decode here: the weights file is opened with safetensors. Section numbers are those of
FORMAT.md.
"""

from __future__ import annotations

import bisect
import hashlib
import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import aecodec
from aecodec import models

FORMAT = Path(aecodec.__file__).with_name("format") / "FORMAT.md"
TEXT = FORMAT.read_text()
PROSE = " ".join(TEXT.split())  # whatever its lines


def example(name: str) -> list[str]:
    """The lines of an example in FORMAT.md."""
    found = re.search(rf"```text {name}\n(.*?)```", TEXT, re.DOTALL)
    assert found, f"FORMAT.md has no example {name}"
    return found[1].splitlines()


# -- section 6: the range coder ---------------------------------------------------------------------------------


def rounded_to_24_bits(numerator: int) -> int:
    """`numerator / 2^16` to 24 significant bits, nearest, ties to even; then floor."""
    extra = max(numerator.bit_length() - 24, 0)
    kept, rest = numerator >> extra, numerator & ((1 << extra) - 1)
    if extra and (2 * rest > 1 << extra or (2 * rest == 1 << extra and kept & 1)):
        kept += 1
    return (kept << extra) >> 16


def table_model(frequencies: list[int]) -> list[int]:
    slots = len(frequencies)
    bounds, total = [], 0
    for i, frequency in enumerate(frequencies):
        bounds.append(rounded_to_24_bits(total * (2**24 - slots)) + i)
        total += frequency
    assert total == 2**16
    return [*bounds, 2**24]


def uniform_model(values: int) -> list[int]:
    return [i * (2**24 // values) for i in range(values)] + [2**24]


class RangeDecoder:
    def __init__(self, payload: bytes) -> None:
        payload += bytes(-len(payload) % 4)
        self.words = iter(struct.unpack(f"<{len(payload) // 4}I", payload))
        self.lower, self.range = 0, 2**64 - 1
        self.point = next(self.words, 0) << 32 | next(self.words, 0)

    def slot(self, model: list[int]) -> int:
        scale = self.range >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        assert quantile < 2**24
        i = bisect.bisect_right(model, quantile) - 1
        self.lower = (self.lower + scale * model[i]) % 2**64
        self.range = scale * (model[i + 1] - model[i])
        if self.range < 2**32:
            self.lower, self.range = (self.lower << 32) % 2**64, self.range << 32
            self.point = (self.point << 32) % 2**64 | next(self.words, 0)
        return i

    def symbols(self, index: np.ndarray, halves: list[int], tables: list[list[int]]) -> np.ndarray:
        """The symbols of one of the two arrays of the payload."""
        flat, out = index.reshape(-1), np.zeros(index.size, np.int64)
        for t in sorted(set(flat.tolist()) - {0}):
            where = np.flatnonzero(flat == t)
            values = [self.slot(tables[t]) - halves[t] for _ in where]
            escaped = [i for i, value in enumerate(values) if value > halves[t]]
            lengths = [self.slot(uniform_model(17)) for _ in escaped]
            for i, length in zip(escaped, lengths, strict=True):
                coded = 2**length + (self.slot(uniform_model(2**length)) if length else 0)
                size = (coded - 1) // 2 + halves[t] + 1
                values[i] = size if (coded - 1) % 2 == 0 else -size
            out[where] = values
        return out.reshape(index.shape)


def test_the_example_payload_of_the_format():
    lines = {key: value.split() for key, value in (line.split(":") for line in example("example-payload"))}
    index, symbols = (np.array(lines[key], np.int64) for key in ("tables", "symbols"))
    payload = bytes.fromhex("".join(lines["payload"]))
    frequencies = {1: [65000, 536], 2: [16000, 33000, 16000, 536]}
    halves, tables = [0, 0, 1], [[], table_model(frequencies[1]), table_model(frequencies[2])]
    for bounds in tables[1:]:
        assert ", ".join(map(str, bounds)) in PROSE
    for t in (1, 2):
        slots = [v + halves[t] if abs(v) <= halves[t] else 2 * halves[t] + 1 for v in symbols[index == t].tolist()]
        assert slots == [int(slot) for slot in lines[f"slots of table {t}"]]
    beyond = [v for v in symbols[index == 2].tolist() if abs(v) > 1]
    coded = [2 * (abs(v) - 2) + (v < 0) + 1 for v in beyond]
    assert [e.bit_length() - 1 for e in coded] == [int(n) for n in lines["escapes, n"]]
    assert [e - (1 << e.bit_length() - 1) for e in coded] == [int(rest) for rest in lines["escapes, rest"]]
    np.testing.assert_array_equal(RangeDecoder(payload).symbols(index, halves, tables), symbols)
    assert [f"{zlib.crc32(symbols.astype('<i2').tobytes()):08x}"] == lines["symbol CRC"]

    from aecodec.format.entropy import SymbolEncoder, Tables

    counts = np.array([*frequencies[1], *frequencies[2]], np.uint16)
    encoder = SymbolEncoder(Tables(counts, np.array(halves, np.uint16)))
    encoder.encode(symbols, index)
    assert encoder.finish() == payload


def test_the_example_of_rounding_in_the_format():
    slots = 130
    frequencies = [1] * slots
    frequencies[0], frequencies[-1] = 33000, 2**16 - 33000 - 128
    assert table_model(frequencies)[1] == 8447935 + 1
    assert "8447934.54, R makes it 8447935" in PROSE


def decoded_by_constriction(quantile: int, model) -> int:
    """The slot that a new decoder finds at a place in 0..2^24 - 1."""
    import constriction

    point = quantile * ((2**64 - 1) >> 24)
    words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
    return constriction.stream.queue.RangeDecoder(words).decode(model)


def test_the_models_are_those_of_constriction(reader):
    """Both ends of every slot's interval, in every shipped table and in random ones."""
    import constriction

    rng = np.random.default_rng(0)
    tables = reader.frequencies[1:]
    for slots in (2, 3, 4, 17, 130, 2048):
        frequencies = np.maximum(rng.dirichlet(np.full(slots, 0.3)) * (2**16 - slots), 1).astype(np.int64)
        frequencies[frequencies.argmax()] += 2**16 - frequencies.sum()
        tables.append(frequencies.tolist())
    models = [(table_model(table), constriction.stream.model.Categorical(np.array(table, np.float32), perfect=False))
              for table in tables]
    models += [(uniform_model(n), constriction.stream.model.Uniform(n)) for n in (2, 17, 2**10)]
    for bounds, model in models:
        for i in range(len(bounds) - 1):
            assert decoded_by_constriction(bounds[i], model) == i
            assert decoded_by_constriction(bounds[i + 1] - 1, model) == i


# -- section 7: the scale decoder -------------------------------------------------------------------------------


def shuffled(x: np.ndarray, side: int) -> np.ndarray:
    out = np.zeros((x.shape[0] // side**2, side * x.shape[1], side * x.shape[2]), x.dtype)
    for i in range(side):
        for j in range(side):
            out[:, i::side, j::side] = x[side * i + j::side**2]
    return out


def depthwise(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    height, width = x.shape[1:]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    return sum(weight[:, 0, i, j][:, None, None] * padded[:, i:i + height, j:j + width]
               for i in range(3) for j in range(3))


def table_index(tensors: dict, z: np.ndarray, level: int, height: int, width: int) -> np.ndarray:
    a = np.clip(tensors["scale_decoder.steps"][level].astype(np.int64)[:, None, None] * z, -248, 248)
    for n in range(8):
        weight, bias, shift = (tensors[f"scale_decoder.layers.{n}.{part}"].astype(np.int64)
                               for part in ("weight", "bias", "shift"))
        s = depthwise(a, weight) if n in (1, 3, 6) else np.tensordot(weight[:, :, 0, 0], a, 1)
        s += bias[:, None, None]
        a = (s + ((1 << shift) >> 1)[:, None, None]) >> shift[:, None, None]
        if n < 7:
            a = np.clip(a, 0, 255)
        if n in (2, 5):
            a = shuffled(a, 2)
    index = (a + tensors["scale_decoder.offsets"][level].astype(np.int64)[:, None, None] + 2) >> 2
    return np.clip(index, 0, 63)[:, :height, :width]


def test_the_example_of_the_scale_decoder_in_the_format():
    table = TEXT.split("| s | k | hidden layer |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 6
    for row in table:
        s, k, hidden, _, total, index = (cell.strip() for cell in row.strip("|").split("|"))
        assert min(max((int(s) + ((1 << int(k)) >> 1)) >> int(k), 0), 255) == int(hidden)
        assert min(max((int(total) + 2) >> 2, 0), 63) == int(index)


def test_the_constants_of_the_format():
    from aecodec import coder
    from aecodec.format import container, entropy
    from aecodec.network import blocks, context, hyperprior, quality

    rows = re.findall(r"^\| ([A-Z_]+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 15
    for name, value in rows:
        found = {getattr(module, name) for module in (container, entropy, coder, hyperprior, quality, context, blocks)
                 if hasattr(module, name)}
        assert found == {int(value)}, name


# -- section 8: from symbols to the picture ---------------------------------------------------------------------


class Reader:
    """A reader of files of one model."""

    def __init__(self, weights: Path) -> None:
        from safetensors import safe_open

        with safe_open(str(weights), "numpy") as file:
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
            self.config = json.loads(file.metadata()["config"])
            self.id = int(file.metadata()["id"])
        counts = self.tensors["tables.counts"].tolist()
        self.halves = self.tensors["tables.halves"].tolist()
        self.frequencies: list[list[int]] = [[]]
        for half in self.halves[1:]:
            self.frequencies.append(counts[:2 * half + 2])
            del counts[:2 * half + 2]
        self.tables = [[], *(table_model(table) for table in self.frequencies[1:])]
        assert not counts

    def bundle_hash(self) -> bytes:
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            if not name.startswith(("analysis.", "hyper_analysis.", "rounding.", "training.")):
                digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode() + tensor.tobytes())
        return digest.digest()[:4]

    def part(self, name: str) -> np.ndarray:
        return self.tensors[name].astype(np.float64)

    def conv(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.tensordot(self.part(f"{name}.weight"), x, 1) + self.part(f"{name}.bias")[:, None, None]

    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        inner = depthwise(silu(self.conv(f"{name}.enter", x)), self.part(f"{name}.depthwise.weight"))
        x = x + self.conv(f"{name}.leave", inner + self.part(f"{name}.depthwise.bias")[:, None, None])
        u, v = np.split(self.conv(f"{name}.gate", x), 2)
        return x + self.conv(f"{name}.mix", silu(u) * np.clip(v, -8, 8))

    def gain(self, name: str, level: int) -> np.ndarray:
        knots = np.clip(self.part(f"{name}.knots"), -14, 14)
        below, share = divmod(level, 7)
        log2 = knots[below] if not share else knots[below] * (1 - share / 7) + knots[below + 1] * share / 7
        return np.exp2(log2)[:, None, None]

    def latents(self, symbols: np.ndarray, z: np.ndarray, level: int) -> np.ndarray:
        count, height, width = symbols.shape
        z = z * self.part("scale_decoder.steps")[level][:, None, None]
        x = self.block("mean_decoder.blocks.0", self.conv("mean_decoder.enter", z / 32))
        x = self.block("mean_decoder.blocks.1", shuffled(self.conv("mean_decoder.up.0", silu(x)), 2))
        x = shuffled(self.conv("mean_decoder.up.1", silu(x)), 2)[:, :height, :width]
        x = x * self.gain("context.gain", level)
        steps = np.zeros(symbols.shape, np.int64)
        for group, row in enumerate(((0, 2, 3, 1), (3, 1, 2, 0), (2, 0, 1, 3), (1, 3, 0, 2))):
            for phase, step in enumerate(row):
                steps[group * count // 4:(group + 1) * count // 4, phase // 2::2, phase % 2::2] = step
        gain, latents = self.gain("gain", level), np.zeros(symbols.shape)
        for step in range(4):
            if step > 0:
                x = x + self.conv(f"context.known.{step - 1}", latents)
            x = self.block(f"context.blocks.{step}", x)
            means = self.conv(f"context.heads.{step}", x)
            latents = np.where(steps == step, symbols / gain + means, latents)
        return latents

    def synthesis(self, x: np.ndarray, level: int) -> np.ndarray:
        at_16, at_8 = self.config["synthesis_blocks"]
        for n in range(at_16):
            x = self.block(f"synthesis.latent_blocks.{n}", x)
        x = shuffled(self.conv("synthesis.up", x), 2) * self.gain("synthesis.gain", level)
        for n in range(at_8):
            x = self.block(f"synthesis.blocks.{n}", x)
        return shuffled(self.conv("synthesis.patches", x), 8)

    def read(self, data: bytes) -> np.ndarray:
        signature, version, flags, model, level, bundle, symbol_crc = struct.unpack_from("<4sBBHB4sI", data)
        assert (signature, version, model, bundle) == (b"\xaeAEC", 0, self.id, self.bundle_hash())
        at, fields = 17, []
        for _ in range(3):
            value, shift = 0, 0
            while data[at] & 0x80:
                value, shift, at = value | (data[at] & 0x7F) << shift, shift + 7, at + 1
            fields.append(value | data[at] << shift)
            at += 1
        width, height, length = fields
        assert zlib.crc32(data[:at + length]) == int.from_bytes(data[at + length:at + length + 4], "little")

        decoder = RangeDecoder(data[at:at + length])
        rows, columns = -(-height // 16), -(-width // 16)
        shape = (self.config["hyper"], -(-rows // 4), -(-columns // 4))
        z_tables = np.broadcast_to(self.tensors["z_index"][level].astype(np.int64)[:, None, None], shape)
        z = decoder.symbols(z_tables, self.halves, self.tables)
        index = table_index(self.tensors, z, level, rows, columns)
        symbols = decoder.symbols(index, self.halves, self.tables)
        assert zlib.crc32(z.astype("<i2").tobytes() + symbols.astype("<i2").tobytes()) == symbol_crc

        picture = self.synthesis(self.latents(symbols, z, level), level)[:, :height, :width]
        pixels = np.clip(np.round(255 * (picture + 0.5)), 0, 255).astype(np.int64).transpose(1, 2, 0)
        return (2 * pixels.sum(axis=2) + 3) // 6 if flags & 1 else pixels


def silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(np.minimum(-x, 700)))


def test_the_example_bundle_of_the_format():
    hashed = b"".join(bytes.fromhex(line.split("  ")[0]) for line in example("example-bundle"))
    wanted = re.search(r"the bundle hash is ([0-9a-f]{8})", PROSE)
    assert wanted
    assert hashlib.sha256(hashed).digest()[:4].hex() == wanted[1]
    tensors = {"tables.halves": np.array([0, 1], "<u2"), "gain.knots": np.array([[1, -2]], "<f4"),
               "analysis.patches.bias": np.zeros(3, "<f2")}
    assert models.bundle_hash(tensors).hex() == wanted[1]


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(models.find().path)


@pytest.mark.parametrize(("height", "width", "level", "grey"), [
    (1, 1, 0, False), (37, 70, 40, False), (65, 33, 63, True), (64, 64, 17, False)])
def test_a_reader_written_from_the_format_reads_what_is_written(reader, photo, height, width, level, grey):
    codec = aecodec.Codec(device="cpu", precision="float32")
    picture = photo[20:20 + height, 30:30 + width]
    data = codec.encode(picture[:, :, 1] if grey else picture, level=level)
    decoded = np.asarray(codec.decode(data)).astype(np.int64)
    np.testing.assert_allclose(reader.read(data), decoded, rtol=0, atol=1)


# -- section 3: boxes -------------------------------------------------------------------------------------------


def boxes_of(data: bytes) -> dict[str, bytes]:
    """What a file of less than 2^21 payload bytes holds after its payload."""
    at = 17
    for _ in range(3):
        length, shift = 0, 0
        while data[at] & 0x80:
            length, shift, at = length | (data[at] & 0x7F) << shift, shift + 7, at + 1
        length, at = length | data[at] << shift, at + 1
    at += length + 4
    boxes = {}
    while at < len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        assert zlib.crc32(data[at:at + 8 + length]) == int.from_bytes(data[at + 8 + length:at + 12 + length], "little")
        boxes[kind.decode()] = zlib.decompress(data[at + 8:at + 8 + length])
        at += 12 + length
    return boxes


def unfiltered(rows: bytes, height: int, width: int) -> np.ndarray:
    """PNG's five filters, undone, for one byte per pixel."""
    assert len(rows) == height * (width + 1)
    plane = np.zeros((height + 1, width + 1), np.int64)  # with a row above and a column to the left
    for y in range(1, height + 1):
        kind, *values = rows[(y - 1) * (width + 1):y * (width + 1)]
        for x, value in enumerate(values, 1):
            left, up, corner = (int(v) for v in (plane[y, x - 1], plane[y - 1, x], plane[y - 1, x - 1]))
            paeth = min((left, up, corner), key=lambda v: abs(left + up - corner - v))
            plane[y, x] = (value + (0, left, up, (left + up) // 2, paeth)[kind]) % 256
    return plane[1:, 1:]


def test_the_boxes_hold_what_the_format_says(photo):
    from PIL import Image

    alpha = np.add.outer(np.arange(30) * 5, np.arange(41) * 2).astype(np.uint8)
    alpha[3:9, 4:20] = photo[3:9, 4:20, 0]
    image = Image.fromarray(np.dstack([photo[:30, :41], alpha]))
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    image.info["exif"] = exif.tobytes()
    image.info["xmp"] = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    boxes = boxes_of(aecodec.Codec(device="cpu").encode(image))
    assert boxes.keys() == {"ALPH", "exif", "xmp_"}
    np.testing.assert_array_equal(unfiltered(boxes["ALPH"], 30, 41), alpha)
    assert boxes["exif"].startswith((b"II*", b"MM"))
    assert boxes["exif"] in image.info["exif"]
    assert boxes["xmp_"] == image.info["xmp"]


def test_the_limits_of_the_boxes_are_in_the_format():
    from aecodec.format import boxes

    assert str(boxes.MAX_METADATA) in TEXT
    assert all(f"`{kind}`" in TEXT for kind in boxes.KNOWN)
