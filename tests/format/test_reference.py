"""The normative decoder: it does what FORMAT.md says, and the package and the golden files do what it does."""

from __future__ import annotations

import ast
import hashlib
import math
import re
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

import aecodec
from aecodec import models
from aecodec.coder import Coder
from aecodec.engine.torch_engine import TorchEngine
from aecodec.format import boxes, container, reference, reference_network
from aecodec.format.constants import OUTSIDE_BUNDLE, TABLES, TUNES
from aecodec.format.container import Box
from aecodec.format.entropy import SymbolEncoder, Tables
from aecodec.network.context import step_of
from helpers import FORMAT, GOLDEN, format_example, format_text, hex_bytes, random_model, resigned


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return models.load(models.find()).tensors


@pytest.fixture(scope="module")
def golden() -> bytes:
    """A small file with alpha."""
    return next(path for path in GOLDEN if path.stem == "small-alpha").read_bytes()


# -- whole files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_decode_to_their_pictures(path, tensors):
    with Image.open(path.with_suffix(".png")) as image:
        wanted = np.asarray(image).astype(int)
    decoded = reference.decode(tensors, path.read_bytes())
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_allclose(decoded.pixels.astype(int), wanted, rtol=0, atol=1)
    if wanted.ndim == 3 and wanted.shape[2] in (2, 4):
        np.testing.assert_array_equal(decoded.pixels[:, :, -1], wanted[:, :, -1])  # alpha has no rounding


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_files_have_the_symbols_and_latents_that_the_package_decodes(path, tensors, codec):
    """With constriction for a range coder, and the network in torch."""
    data = path.read_bytes()
    decoded, symbols = reference.decode(tensors, data), codec.coder.read_symbols(container.read_file(data, boxes.KNOWN))
    np.testing.assert_array_equal(decoded.z, symbols.z)
    np.testing.assert_array_equal(decoded.index, symbols.y_tables)
    np.testing.assert_array_equal(decoded.y, symbols.y)
    latents = codec.latents(data).y
    np.testing.assert_allclose(decoded.latents, latents, rtol=0, atol=2e-6 * np.abs(latents).max())


@pytest.mark.parametrize(("height", "width", "level", "grey"), [
    (1, 1, 0, False), (37, 70, 40, False), (65, 33, 63, True), (64, 64, 17, False)])
def test_what_the_package_writes_is_read(tensors, photo, height, width, level, grey):
    codec = aecodec.Codec(device="cpu", precision="float32")
    picture = photo[20:20 + height, 30:30 + width]
    data = codec.encode(picture[:, :, 1] if grey else picture, level=level)
    read = reference.decode(tensors, data)
    assert (read.z.dtype, read.index.dtype, read.y.dtype) == (np.int16, np.uint8, np.int16)
    np.testing.assert_allclose(read.pixels.astype(int), codec.decode(data, output="array"), rtol=0, atol=1)


def test_other_weights_are_refused(tensors, golden):
    changed = {**tensors, "gain.knots": tensors["gain.knots"] + 1}
    with pytest.raises(aecodec.UnknownModel, match=reference.bundle_hash(changed).hex()):
        reference.decode(changed, golden)


def test_a_forged_file_is_refused(tensors, golden):
    file = container.read_file(golden, boxes.KNOWN)
    other = [Box("ALPH", zlib.compress(b"\5" + bytes(47) + bytes(48 * 32)))]
    for forged in (resigned(file, symbol_crc=file.header.symbol_crc ^ 1), resigned(file, level=12),
                   resigned(file, payload=b"\xff" * 64), resigned(file, boxes=other)):
        with pytest.raises(aecodec.CorruptFile):
            reference.decode(tensors, forged)
    with pytest.raises(aecodec.LimitExceeded):
        reference.decode(tensors, resigned(file, width=60_000, height=60_000))
    with pytest.raises(aecodec.NotAec):
        reference.decode(tensors, b"text")


def test_it_shares_no_arithmetic_with_what_it_checks():
    """NumPy, the standard library, and of the package only constants, errors and the parser of container and boxes."""
    names = set()
    trees = [ast.parse(FORMAT.with_name(name).read_text()) for name in ("reference.py", "reference_network.py")]
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            names |= {f"{prefix}{alias.name}" for alias in node.names} if prefix == "." else {prefix}
    assert names == {"__future__", "bisect", "collections.abc", "dataclasses", "hashlib", "itertools", "struct", "zlib",
                     "numpy", "..errors", ".boxes", ".container", ".constants", ".reference_network"}


# -- section 4: models ------------------------------------------------------------------------------------------------


def test_the_example_bundle_of_the_format():
    hashed = b"".join(hex_bytes(line) for line in format_example("example-bundle"))
    wanted = re.search(r"the bundle hash is ([0-9a-f]{8})", format_text())
    assert wanted
    assert hashlib.sha256(hashed).digest()[:4].hex() == wanted[1]
    tensors = {"tables.halves": np.array([0, 1], "<u2"), "gain.knots": np.array([[1, -2]], "<f4"),
               "analysis.patches.bias": np.zeros(3, "<f2"), "decoders.fine.up.bias": np.ones(2, "<f2")}
    for bundle_hash in (models.bundle_hash, reference.bundle_hash):
        assert bundle_hash(tensors).hex() == wanted[1]


def test_the_format_names_what_the_bundle_hash_leaves_out():
    sentence = re.search(r"tensors whose names do not start with (.*?),\s+in\s+ascending", format_text())
    assert sentence
    assert re.findall(r"`([a-z_]+\.)`", sentence[1]) == list(OUTSIDE_BUNDLE)


def test_the_bundle_hash_of_tensors_that_lie_otherwise_in_memory(tensors):
    wanted = models.load(models.find()).bundle_hash
    turned = {name: tensor.astype(tensor.dtype.newbyteorder(">"), order="F") for name, tensor in tensors.items()}
    assert reference.bundle_hash(tensors) == reference.bundle_hash(turned) == wanted


# -- section 6: the payload -------------------------------------------------------------------------------------------


def rounded_to_24_bits(numerator: int) -> int:
    """`numerator / 2^16` to 24 significant bits, nearest, ties to even; then floor."""
    extra = max(numerator.bit_length() - 24, 0)
    kept, rest = numerator >> extra, numerator & ((1 << extra) - 1)
    if extra and (2 * rest > 1 << extra or (2 * rest == 1 << extra and kept & 1)):
        kept += 1
    return (kept << extra) >> 16


def bounds_in_integers(frequencies: list[int]) -> list[int]:
    """A table's model, from exact integers."""
    slots = len(frequencies)
    bounds, total = [], 0
    for i, frequency in enumerate(frequencies):
        bounds.append(rounded_to_24_bits(total * (2**24 - slots)) + i)
        total += frequency
    assert total == 2**16
    return [*bounds, 2**24]


def test_the_example_payload_of_the_format():
    lines = {key: value.split() for key, value in (line.split(":") for line in format_example("example-payload"))}
    index, symbols = (np.array(lines[key], np.int64) for key in ("tables", "symbols"))
    payload = bytes.fromhex("".join(lines["payload"]))
    tables = [np.array(table) for table in ([], [65000, 536], [16000, 33000, 16000, 536])]
    for table in tables[1:]:
        assert ", ".join(map(str, reference.table_bounds(table))) in format_text()
    halves = [0, 0, 1]
    for t in (1, 2):
        slots = [v + halves[t] if abs(v) <= halves[t] else 2 * halves[t] + 1 for v in symbols[index == t].tolist()]
        assert slots == [int(slot) for slot in lines[f"slots of table {t}"]]
    beyond = [v for v in symbols[index == 2].tolist() if abs(v) > 1]
    coded = [2 * (abs(v) - 2) + (v < 0) + 1 for v in beyond]
    assert [e.bit_length() - 1 for e in coded] == [int(n) for n in lines["escapes, n"]]
    assert [e - (1 << e.bit_length() - 1) for e in coded] == [int(rest) for rest in lines["escapes, rest"]]
    read = reference.read_symbols(reference.RangeDecoder(payload), index, tables)
    np.testing.assert_array_equal(read, symbols)
    assert [f"{reference.symbol_crc(read[:0], read):08x}"] == lines["symbol CRC"]

    encoder = SymbolEncoder(Tables(np.concatenate(tables).astype(np.uint16), np.array(halves, np.uint16)))
    encoder.encode(symbols, index)
    assert encoder.finish() == payload


def test_the_example_of_rounding_in_the_format():
    table = np.ones(130, np.int64)
    table[0], table[-1] = 33000, 2**16 - 33000 - 128
    assert reference.table_bounds(table)[1] == 8447935 + 1
    assert "8447934.54, R makes it 8447935" in format_text()


@pytest.fixture(scope="module")
def tables(tensors) -> list[np.ndarray]:
    """Every shipped table, and random ones of many sizes."""
    rng = np.random.default_rng(0)
    found = reference.frequencies(tensors)
    assert len(found[0]) == 0
    for slots in (2, 3, 4, 17, 130, 2048):
        made = np.maximum(rng.dirichlet(np.full(slots, 0.3)) * (2**16 - slots), 1).astype(np.int64)
        made[made.argmax()] += 2**16 - made.sum()
        found.append(made)
    return found[1:]


def test_models_in_24_bits_are_those_of_exact_integers(tables):
    for table in tables:
        assert reference.table_bounds(table) == bounds_in_integers(table.tolist())


def decoded_by_constriction(quantile: int, model) -> int:
    """The slot that a new decoder finds at a place in 0..2^24 - 1."""
    import constriction

    point = quantile * ((2**64 - 1) >> 24)
    words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
    return constriction.stream.queue.RangeDecoder(words).decode(model)


def test_the_models_are_those_of_constriction(tables):
    """Both ends of every slot's interval, in every shipped table and in random ones."""
    import constriction

    pairs = [(reference.table_bounds(table), constriction.stream.model.Categorical(table.astype(np.float32),
                                                                                   perfect=False)) for table in tables]
    pairs += [(reference.uniform_bounds(n), constriction.stream.model.Uniform(n)) for n in (2, 17, 2**10)]
    for bounds, model in pairs:
        for i in range(len(bounds) - 1):
            assert decoded_by_constriction(bounds[i], model) == i
            assert decoded_by_constriction(bounds[i + 1] - 1, model) == i


def test_escapes_up_to_the_largest_are_read(tables):
    """From the package's encoder: every bit length of an escape, both signs, and the ends of the range."""
    sizes = sorted({2**n + more for n in range(1, 15) for more in (-1, 0, 1)} | {32767, 32766})
    symbols = np.array([*sizes, *(-size for size in sizes), 0], np.int64)
    narrow = min(tables, key=len)
    counts = Tables(narrow.astype(np.uint16), np.array([0, len(narrow) // 2 - 1], np.uint16))
    encoder, index = SymbolEncoder(counts), np.ones(len(symbols), np.uint8)
    encoder.encode(symbols, index)
    read = reference.read_symbols(reference.RangeDecoder(encoder.finish()), index, [narrow[:0], narrow])
    np.testing.assert_array_equal(read, symbols)


def test_a_symbol_out_of_range_is_refused():
    """Slots of another table with the same model stand for an escape of 2^16 + 1 beyond its table."""
    import constriction

    table, encoder = np.array([65000, 536]), constriction.stream.queue.RangeEncoder()
    model = constriction.stream.model
    encoder.encode(np.array([1], np.int32), model.Categorical(table.astype(np.float32), perfect=False))
    encoder.encode(np.array([16], np.int32), model.Uniform(17))
    encoder.encode(np.array([1], np.int32), model.Uniform(2**16))
    with pytest.raises(aecodec.CorruptFile, match="out of range"):
        reference.read_symbols(reference.RangeDecoder(encoder.get_compressed().astype("<u4").tobytes()),
                               np.ones(1, np.uint8), [table[:0], table])


# -- section 7: the scale decoder -------------------------------------------------------------------------------------


def test_the_example_of_the_scale_decoder_in_the_format(tensors):
    table = FORMAT.read_text().split("| s | k | hidden layer |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(table) == 6
    for row in table:
        s, k, hidden, _, total, index = (cell.strip() for cell in row.strip("|").split("|"))
        layer = reference_network.scale_layer(np.ones((1, 1, 1), np.int64), np.zeros((1, 1, 1, 1), np.int8),
                                      np.array([int(s)], np.int32), np.array([int(k)], np.uint8))
        assert np.clip(layer, 0, 255).item() == int(hidden)
        # All but the last bias are zero, so that it alone is `t`.
        changed = {name: np.zeros_like(tensor) for name, tensor in tensors.items() if name.startswith("scale_decoder.")}
        changed["scale_decoder.layers.7.bias"][:] = int(total)
        assert (reference_network.table_indices(changed, np.zeros((96, 1, 1), np.int16), 5) == int(index)).all()


def test_a_layer_by_hand():
    """In Python's integers: a 1x1 layer, and the upper right corner of a depthwise one."""
    rng, layer = np.random.default_rng(0), reference_network.scale_layer
    bias, shift = rng.integers(-(2**14), 2**15, 8), rng.integers(0, 12, 8)
    weight, x = rng.integers(-127, 128, (8, 96, 1, 1)), rng.integers(-248, 249, (96, 2, 3))
    for o in range(8):
        total = sum(int(weight[o, c, 0, 0]) * int(x[c, 1, 2]) for c in range(96)) + int(bias[o])
        assert layer(x, weight, bias, shift)[o, 1, 2] == math.floor(total / 2 ** int(shift[o]) + 0.5)
    weight, x = rng.integers(-127, 128, (8, 1, 3, 3)), rng.integers(0, 256, (8, 2, 3))
    for o in range(8):
        products = [int(weight[o, 0, i, j]) * int(x[o, i - 1, 2 + j - 1]) for i in (1, 2) for j in (0, 1)]
        total = sum(products) + int(bias[o])
        assert layer(x, weight, bias, shift)[o, 0, 2] == math.floor(total / 2 ** int(shift[o]) + 0.5)


def test_pixel_shuffle_is_that_of_torch():
    for side in (2, 8):
        x = torch.arange(3 * side**2 * 4 * 5).reshape(1, 3 * side**2, 4, 5)
        np.testing.assert_array_equal(reference_network.pixel_shuffle(x[0].numpy(), side),
                                      torch.nn.functional.pixel_shuffle(x, side)[0].numpy())


def test_every_table_index_occurs_in_the_golden_files(tensors):
    """So that comparing them compares all tables."""
    seen: set[int] = set()
    for path in GOLDEN:
        seen |= set(np.unique(reference.decode(tensors, path.read_bytes()).index).tolist())
    assert len(seen) > TABLES * 3 // 4


# -- section 8: from symbols to the picture ---------------------------------------------------------------------------


def test_the_steps_of_the_context_are_those_of_the_format():
    rows = re.findall(r"^\| group (\d) \| (\d) \| (\d) \| (\d) \| (\d) \|$", FORMAT.read_text(), re.MULTILINE)
    assert len(rows) == 4
    steps = reference_network.context_steps(8, 5, 7)
    for group, *row in ([int(cell) for cell in row] for row in rows):
        assert steps[2 * group, :2, :2].reshape(-1).tolist() == row
    np.testing.assert_array_equal(steps, step_of(8, 5, 7).numpy())


def test_grey_is_the_mean_of_the_planes_rounded():
    header = container.Header(2, 1, 0, 0, b"hash", 0, 0, grey=True)
    planes = (np.array([[[1, 254]], [[2, 255]], [[2, 255]]]) / 255) - 0.5
    assert reference.picture(planes, header).tolist() == [[2, 255]]


@pytest.mark.parametrize("settings", [
    pytest.param({"tunes": 2, "kernel": 5, "conditioned": True, "informed": True}, id="told of everything"),
    pytest.param({"tunes": 2}, id="two tunes alone"),
    pytest.param({"informed": True}, id="corrected"),
])
def test_models_of_other_kinds_decode_to_what_the_package_decodes(photo, tmp_path, settings):
    file = random_model({"channels": 16, "latents": 32, "hyper": 8, "context": 16, **settings}, tmp_path)
    coder = Coder(file, TorchEngine(file, "cpu", "float32"))
    pixels = photo[:50, :85]
    decoded = []
    for tune in file.info.tunes:
        coded = coder.encode(pixels, 31, tune=tune)
        data = container.write_file(coded)
        assert (data[8], coded.header.tune) == (31 + 64 * TUNES.index(tune), tune)
        read, symbols, latents = reference.decode(file.tensors, data), coder.read_symbols(coded), coder.latents(coded)
        assert np.abs(read.y).max() > 2
        np.testing.assert_array_equal(read.y, symbols.y)
        np.testing.assert_array_equal(read.index, symbols.y_tables)
        np.testing.assert_allclose(read.latents, latents.y, rtol=0, atol=2e-6 * np.abs(latents.y).max())
        np.testing.assert_allclose(read.pixels.astype(int), coder.decode(coded), rtol=0, atol=1)
        np.testing.assert_array_equal(coder.render(latents), coder.decode(coded))
        decoded.append(read.pixels)
    if settings.get("conditioned"):
        assert np.abs(decoded[0].astype(int) - decoded[1]).max() > 1


def test_a_tune_that_the_model_lacks_is_refused(tensors, golden, codec):
    forged = resigned(container.read_file(golden, boxes.KNOWN), tune="psnr")
    for decode in (codec.decode, lambda data: reference.decode(tensors, data)):
        with pytest.raises(aecodec.CorruptFile, match="tune psnr"):
            decode(forged)
    with pytest.raises(ValueError, match="no tune psnr; choose visual"):
        codec.encode(np.zeros((8, 8, 3), np.uint8), tune="psnr", lossless=False)
    with pytest.raises(ValueError, match="not known; choose visual or psnr"):
        codec.encode(np.zeros((8, 8, 3), np.uint8), tune="nice")
