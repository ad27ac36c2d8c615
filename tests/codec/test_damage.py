"""Damaged and forged files: each ends in an error of the package, never in a picture, a crash or another exception.

Damage that the checksums see is tried at every byte. To get behind them, files are signed again after a change; then
the values themselves, the boxes' own formats and the symbol CRC must tell. What such a file may still be is a valid
file: what follows the last symbol has no meaning (FORMAT.md, section 6), nor have the bits that fill up a byte of a
zlib stream, so a picture may come out if it is the very same one.
"""

from __future__ import annotations

import dataclasses
import io
import random
import time
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

import aecodec
from aecodec import api, coder, pillow_plugin
from aecodec.format import boxes, container, entropy
from aecodec.format.container import AecFile, Box
from aecodec.picture.alpha import find_alpha, pack_alpha
from helpers import box_bytes, resigned, signed

WIDTH, HEIGHT = 40, 24
MAX_SIDE = container.MAX_SIDE
KEPT_BYTES = 8  # of the end of a payload: what the range decoder holds beyond the symbols it has decoded


@pytest.fixture(scope="module")
def data(codec, full) -> bytes:
    return codec.encode(full, 60)


@pytest.fixture(scope="module")
def file(data) -> AecFile:
    read = container.read_file(data, boxes.KNOWN)
    assert {box.kind for box in read.boxes} == boxes.KNOWN
    return read


@pytest.fixture(scope="module")
def plain(codec, full) -> AecFile:
    """A file without boxes: what is wrong with its header is not found in a box."""
    return container.read_file(codec.encode(np.asarray(full)[:, :, :3], 60))


@pytest.fixture(scope="module")
def good(codec, data) -> np.ndarray:
    return codec.decode(data, output="array")


def with_box(file: AecFile, kind: str, content: bytes) -> bytes:
    """The file with other data in one of its boxes, and right checksums."""
    kept = [Box(kind, content) if box.kind == kind else box for box in file.boxes]
    return resigned(file, boxes=kept)


def flipped(data: bytes, position: int, bit: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1 << bit]) + data[position + 1:]


def assert_refused(codec, data: bytes, error: type[aecodec.AecError] | tuple = aecodec.AecError) -> None:
    with pytest.raises(error):
        codec.decode(data)


def assert_refused_or_same(codec, data: bytes, good: np.ndarray) -> bool:
    """Whether the file was refused as damaged; if it decodes, it is to the same picture."""
    try:
        decoded = codec.decode(data, output="array")
    except aecodec.CorruptFile:
        return True
    assert np.array_equal(decoded, good)
    return False


@pytest.fixture
def no_network(monkeypatch):
    """The test fails if the decoder proper is reached."""
    monkeypatch.setattr(coder.Coder, "decode", lambda *_: pytest.fail("the network was reached"))


@pytest.fixture
def small_memory():
    """The test fails if NumPy, zlib and Python together ever hold more than a megabyte of new memory."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


# -- damage that the checksums see --------------------------------------------------------------------------------


def test_a_file_cut_short_at_any_byte_is_refused(codec, data, no_network):
    for length in range(len(data)):
        assert_refused(codec, data[:length])


def test_any_flipped_bit_is_refused(codec, data, no_network):
    """One bit in every byte through the whole API (every bit of a smaller file: test_container)."""
    rng = random.Random(1)
    for position in range(len(data)):
        assert_refused(codec, flipped(data, position, rng.randrange(8)))


def test_every_flipped_bit_is_seen_by_the_container(data):
    for position in range(len(data)):
        for bit in range(8):
            with pytest.raises(aecodec.AecError):
                container.read_file(flipped(data, position, bit), None)


def test_bytes_overwritten_lost_repeated_or_swapped_are_refused(codec, data, no_network):
    """What disks and transfers do: runs of zeros or ones, blocks that are missing, doubled, or of another file."""
    rng = random.Random(2)
    for _ in range(1500):
        begin = rng.randrange(len(data))
        end = min(begin + rng.choice((1, 2, 7, 64, 512)), len(data))
        block = data[begin:end]
        other = rng.choice((bytes(len(block)), b"\xff" * len(block), rng.randbytes(len(block)), b"", 2 * block,
                            block[::-1], b"\r\n" + block))
        damaged = data[:begin] + other + data[end:]
        if damaged != data:
            assert_refused(codec, damaged)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pillow_says_what_it_says_of_other_formats(codec, data, no_network, monkeypatch):
    """Cut at every byte, and a bit flipped in every byte: OSError, or a picture too large, from `open` or `load`."""
    monkeypatch.setattr(pillow_plugin, "default_codec", lambda: codec)
    rng = random.Random(3)
    damaged = [data[:length] for length in range(len(data))]
    damaged += [flipped(data, position, rng.randrange(8)) for position in range(len(data))]
    for content in damaged:
        with pytest.raises((OSError, Image.DecompressionBombError)), Image.open(io.BytesIO(content)) as opened:
            opened.load()


@pytest.mark.parametrize("prefix", [b"", container.MAGIC, container.MAGIC + b"\0"], ids=["any", "signature", "version"])
def test_random_bytes_are_refused(codec, prefix, no_network):
    rng = random.Random(4)
    for length in [*range(400), 1000, 4096, 65_537]:
        content = prefix + rng.randbytes(length)
        assert_refused(codec, content)
        assert_refused(codec, signed(content))


# -- a payload with right checksums -------------------------------------------------------------------------------


def test_a_payload_flipped_anywhere_never_gives_another_picture(codec, plain):
    expected = codec.decode(container.write_file(plain), output="array")
    for position in range(len(plain.payload)):
        for bit in range(8):
            damaged = resigned(plain, payload=flipped(plain.payload, position, bit))
            if not assert_refused_or_same(codec, damaged, expected):
                assert position >= len(plain.payload) - KEPT_BYTES


def test_payloads_of_other_lengths(codec, plain):
    """Shorter ones are other symbols, unless zeros are cut; what follows the last symbol has no meaning."""
    expected = codec.decode(container.write_file(plain), output="array")
    lengths = {0, 1, 2, 3, 4, 5, *range(9, len(plain.payload) - KEPT_BYTES, 29)}
    for length in lengths:
        assert_refused(codec, resigned(plain, payload=plain.payload[:length]), aecodec.CorruptFile)
    for more in (bytes(1), bytes(1000), b"\xff" * 3 + bytes(2)):
        longer = resigned(plain, payload=plain.payload + bytes(KEPT_BYTES) + more)
        assert np.array_equal(codec.decode(longer, output="array"), expected)


def test_random_payloads_are_refused(codec, plain):
    rng = random.Random(6)
    for length in (0, 1, 4, 30, 300, 3000):
        for content in (rng.randbytes(length), bytes(length), b"\xff" * length):
            assert_refused(codec, resigned(plain, payload=content), aecodec.CorruptFile)


def test_the_payload_of_another_picture_is_refused(codec, plain, photo):
    """Both halves are whole: only the symbol CRC ties them together."""
    other = container.read_file(codec.encode(photo[-HEIGHT:, -WIDTH:], 60))
    assert_refused(codec, resigned(plain, payload=other.payload), aecodec.CorruptFile)


# -- a header with right checksums --------------------------------------------------------------------------------


def test_every_bit_of_the_symbol_crc_counts(codec, plain):
    for bit in range(32):
        forged = resigned(plain, symbol_crc=plain.header.symbol_crc ^ 1 << bit)
        assert_refused(codec, forged, aecodec.CorruptFile)


def test_every_bit_of_model_and_bundle_hash_counts(codec, plain):
    model, bundle = plain.header.model_id, int.from_bytes(plain.header.bundle_hash, "little")
    for other in {0, 1, 0xEFFF, 0xFFFF, *(model ^ 1 << bit for bit in range(16))} - {model}:
        assert_refused(codec, resigned(plain, model_id=other), aecodec.UnknownModel)
    for other in {0, 2**32 - 1, *(bundle ^ 1 << bit for bit in range(32))}:
        assert_refused(codec, resigned(plain, bundle_hash=other.to_bytes(4, "little")), aecodec.UnknownModel)


def test_another_level_is_refused(codec, plain):
    """A level has tables of its own. Only neighbours may be so alike that a tiny picture's symbols are the same."""
    level = plain.header.level
    for other in range(container.LEVELS):
        if abs(other - level) > 1:
            assert_refused(codec, resigned(plain, level=other), aecodec.CorruptFile)


@pytest.mark.parametrize("value", [*range(64, 256, 21), 255])
def test_a_tune_that_is_not_there_is_refused(codec, file, value, no_network):
    """The shipped model has tune 0 alone; 2 and 3 are not defined yet."""
    front = bytearray(container.write_header(file.header) + file.payload)
    front[8] = value
    assert_refused(codec, signed(bytes(front)), aecodec.CorruptFile if value < 128 else aecodec.UnsupportedVersion)


@pytest.mark.parametrize("size", [(1, 1), (WIDTH, 1), (1, HEIGHT), (WIDTH, HEIGHT + 16), (WIDTH + 16, HEIGHT),
                                  (WIDTH + 64, HEIGHT + 64), (500, 7), (7, 500)])
def test_another_number_of_latents_is_refused(codec, plain, size):
    """Sizes with as many latents as the true one show the same picture, cut or not: they are no damage to find."""
    assert_refused(codec, resigned(plain, width=size[0], height=size[1]), aecodec.CorruptFile)


@pytest.mark.parametrize("size", [(MAX_SIDE, MAX_SIDE), (MAX_SIDE, 11), (11, MAX_SIDE), (13_378, 13_378),
                                  (2**20, 2**20), (WIDTH, MAX_SIDE)])
def test_a_huge_picture_is_refused_before_memory_is_taken(codec, file, plain, size, no_network, small_memory):
    began = time.process_time()
    for one in (file, plain):
        assert_refused(codec, resigned(one, width=size[0], height=size[1]), aecodec.LimitExceeded)
    assert time.process_time() - began < 1


@pytest.mark.parametrize("size", [(1, 1), (2_790_000, 1), (1, 2_790_000), (9459, 9459), (WIDTH, HEIGHT + 1),
                                  (WIDTH + 1, HEIGHT), (HEIGHT, WIDTH)])
def test_alpha_of_another_size_is_refused_before_anything_is_decoded(codec, file, size, no_network, small_memory):
    """What comes out of the box is as long as it says, not as the picture's size would have it."""
    assert_refused(codec, resigned(file, width=size[0], height=size[1]), aecodec.CorruptFile)


@pytest.mark.parametrize("length", [0, 1, 3, 2**16, 2**24, 2**31, 2**32 - 1])
def test_a_forged_payload_length_is_refused_before_memory_is_taken(codec, file, length, no_network, small_memory):
    front = container.write_header(dataclasses.replace(file.header, payload_length=length))
    rest = file.payload + signed(b"")
    for content in (signed(front + rest), signed(front) + rest, signed(front[:len(front) + length] + rest[:length])):
        assert_refused(codec, content, aecodec.CorruptFile)


def test_random_headers_are_refused(codec, plain):
    """With the right model and hash, so that all else is looked at; and with random ones."""
    rng = random.Random(7)
    limited = aecodec.Codec(device="cpu", limit_pixels=4096)
    limited._coders = codec._coders
    for number in range(400):
        width, height = (rng.randint(1, rng.choice((100, MAX_SIDE))) for _ in range(2))
        forged = {"width": width, "height": height, "level": rng.randrange(64), "grey": rng.random() < 0.5,
                  "symbol_crc": rng.getrandbits(32)}
        if number % 2:
            forged |= {"model_id": rng.getrandbits(16), "bundle_hash": rng.randbytes(4)}
        assert_refused(limited, resigned(plain, **forged))


def test_flags_count(codec, file, plain, no_network):
    """A number of boxes other than there are, and the bits that mean nothing yet."""
    for one in (file, plain):
        front = container.write_header(dataclasses.replace(one.header, boxes=len(one.boxes)))
        rest = b"".join(box_bytes(box.kind.encode(), box.data) for box in one.boxes)
        for flags in range(256):
            if flags & 0xFE == len(one.boxes) << 4:
                continue
            changed = signed(front[:5] + bytes([flags]) + front[6:] + one.payload)
            error = aecodec.UnsupportedVersion if flags & 0x0E else aecodec.CorruptFile
            assert_refused(codec, changed + rest, error)


def test_alpha_that_fits_a_forged_size_by_chance_changes_nothing(codec, file):
    """Rows of twice the bytes begin where every second row began; the symbols are others all the same."""
    forged = resigned(file, width=2 * WIDTH + 1, height=HEIGHT // 2)
    assert find_alpha(file.boxes, 2 * WIDTH + 1, HEIGHT // 2) is not None
    assert_refused(codec, forged, aecodec.CorruptFile)


# -- boxes with right checksums -----------------------------------------------------------------------------------


def test_boxes_twice_unknown_or_too_long(codec, file, no_network, small_memory):
    front = signed(container.write_header(dataclasses.replace(file.header, boxes=2)) + file.payload)
    known = {box.kind: box_bytes(box.kind.encode(), box.data) for box in file.boxes}
    for kind in (b"EXIF", b"XMP_", b"Alph"):  # names are told apart by case
        assert_refused(codec, front + known["exif"] + box_bytes(kind, b""), aecodec.UnsupportedVersion)
    for kind in boxes.KNOWN:
        assert_refused(codec, front + 2 * known[kind], aecodec.CorruptFile)
        assert_refused(codec, front + known[kind] + box_bytes(b"ABCD", b""), aecodec.UnsupportedVersion)
        assert_refused(codec, front + box_bytes(b"Abcd", b"x") + known[kind], aecodec.UnsupportedVersion)
        for length in (2**28, 2**28 + 1, 2**31, 2**32 - 1):
            assert_refused(codec, front + known["exif"] + box_bytes(kind.encode(), b"x", length), aecodec.CorruptFile)


@pytest.mark.parametrize("kind", sorted(boxes.KNOWN))
def test_a_box_of_nothing_is_refused(codec, file, kind, no_network):
    for content in (b"", b"\0", bytes(100), b"\xff" * 100, b"nonsense", zlib.compress(b"")[:-1]):
        assert_refused(codec, with_box(file, kind, content), aecodec.CorruptFile)


def test_an_empty_unknown_box_is_skipped(codec, file, good):
    skipped = resigned(file, boxes=(*file.boxes, Box("none", b"")))
    assert np.array_equal(codec.decode(skipped, output="array"), good)


@pytest.mark.parametrize("kind", sorted(boxes.KNOWN))
def test_a_box_cut_short_at_any_byte_or_with_bytes_behind_it_is_refused(codec, file, kind, no_network):
    content = next(box.data for box in file.boxes if box.kind == kind)
    for length in range(len(content)):
        assert_refused(codec, with_box(file, kind, content[:length]), aecodec.CorruptFile)
    for more in (b"\0", b"x", content):
        assert_refused(codec, with_box(file, kind, content + more), aecodec.CorruptFile)


@pytest.mark.parametrize("kind", sorted(boxes.KNOWN))
def test_any_flipped_bit_in_a_box_is_refused_or_means_nothing(file, kind):
    content = next(box.data for box in file.boxes if box.kind == kind)

    def unpacked(data: bytes) -> bytes:
        alpha = find_alpha([Box(kind, data)], WIDTH, HEIGHT)
        return boxes.metadata([Box(kind, data)])[kind] if alpha is None else alpha.tobytes()

    expected, same = unpacked(content), 0
    for position in range(len(content)):
        for bit in range(8):
            try:
                assert unpacked(flipped(content, position, bit)) == expected
                same += 1
            except aecodec.CorruptFile:
                pass
    # The bits that fill up the last byte before zlib's checksum, and lengths of codes that do not occur.
    assert same < 8 + len(content) // 10


@pytest.mark.parametrize("kind", sorted(boxes.KNOWN))
def test_a_flipped_byte_in_a_box_is_refused_by_the_codec(codec, file, good, kind):
    content = next(box.data for box in file.boxes if box.kind == kind)
    for position in range(len(content)):
        damaged = content[:position] + bytes([content[position] ^ 0xFF]) + content[position + 1:]
        assert_refused_or_same(codec, with_box(file, kind, damaged), good)


@pytest.mark.parametrize("kind", sorted(boxes.KNOWN))
def test_a_bomb_in_a_box_is_refused_without_unpacking_it(codec, file, kind, no_network, monkeypatch, request):
    bomb = zlib.compressobj(9)
    content = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(48)) + bomb.flush()
    monkeypatch.setattr(boxes, "MAX_METADATA", 1 << 18)
    request.getfixturevalue("small_memory")
    assert_refused(codec, with_box(file, kind, content), aecodec.CorruptFile)


def test_the_limit_of_metadata_is_exact(codec, file, good, monkeypatch):
    monkeypatch.setattr(boxes, "MAX_METADATA", 5000)
    kept = {"boxes": [box for box in file.boxes if box.kind == "ALPH"]}
    largest = resigned(file, boxes=[*kept["boxes"], Box("xmp_", zlib.compress(bytes(5000)))])
    assert np.array_equal(codec.decode(largest, output="array"), good)
    above = resigned(file, boxes=[*kept["boxes"], Box("xmp_", zlib.compress(bytes(5001)))])
    assert_refused(codec, above, aecodec.CorruptFile)


@pytest.mark.parametrize("shape", [(1, 1), (HEIGHT, 1), (1, WIDTH), (HEIGHT, WIDTH + 1), (HEIGHT, WIDTH - 1),
                                   (HEIGHT + 1, WIDTH), (HEIGHT - 1, WIDTH), (WIDTH, HEIGHT), (900, 900)])
def test_alpha_of_another_shape_is_refused(codec, file, shape, no_network):
    alpha = np.full(shape, 77, np.uint8)
    assert_refused(codec, with_box(file, "ALPH", pack_alpha(alpha)), aecodec.CorruptFile)


@pytest.mark.parametrize("row", [0, 1, HEIGHT - 1])
def test_a_filter_that_does_not_exist_is_refused(codec, file, row, no_network):
    for kind in (5, 6, 127, 128, 255):
        rows = np.zeros((HEIGHT, WIDTH + 1), np.uint8)
        rows[row, 0] = kind
        assert_refused(codec, with_box(file, "ALPH", zlib.compress(rows.tobytes())), aecodec.CorruptFile)


def test_any_bytes_under_known_filters_are_alpha(codec, file, good):
    """All five filters, over random bytes: alpha has no other values to refuse."""
    rows = np.random.default_rng(8).integers(0, 256, (HEIGHT, WIDTH + 1), dtype=np.uint8)
    rows[:, 0] = np.arange(HEIGHT) % 5
    decoded = codec.decode(with_box(file, "ALPH", zlib.compress(rows.tobytes())), output="array")
    assert np.array_equal(decoded[:, :, :3], good[:, :, :3])
    assert np.array_equal(decoded[0, :, 3], rows[0, 1:])


def test_pillow_refuses_what_is_forged(codec, file, plain, monkeypatch):
    monkeypatch.setattr(pillow_plugin, "default_codec", lambda: codec)
    forged = [resigned(plain, symbol_crc=0), resigned(plain, payload=b"\xff" * 50), resigned(plain, level=0),
              resigned(plain, bundle_hash=b"none"), resigned(plain, width=1), with_box(file, "ALPH", b""),
              with_box(file, "xmp_", b""), resigned(plain, boxes=[Box("ABCD", b"")])]
    for content in forged:
        with pytest.raises(OSError), Image.open(io.BytesIO(content)) as opened:  # noqa: PT011 (as Pillow's)
            opened.load()


# -- what is not damage -------------------------------------------------------------------------------------------


class Raising:
    """A range decoder that raises when it is used."""

    error: BaseException

    def __init__(self, *_: object) -> None:
        pass

    def decode(self, *_: object) -> None:
        raise self.error


class Panicking(Raising):
    """A range decoder that panics in Rust."""

    def __init__(self, words: np.ndarray) -> None:
        self.inner = entropy_range_decoder(words)

    def decode(self, *_: object) -> None:
        self.inner.decode(entropy.Uniform(0))


entropy_range_decoder = entropy.RangeDecoder


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), MemoryError(), GeneratorExit()], ids=repr)
def test_what_the_user_or_interpreter_raises_passes(codec, data, monkeypatch, error):
    monkeypatch.setattr(entropy, "RangeDecoder", Raising)
    monkeypatch.setattr(Raising, "error", error, raising=False)
    with pytest.raises(type(error)) as raised:
        codec.decode(data)
    assert raised.value is error
    monkeypatch.undo()
    assert codec.decode(data).size == (WIDTH, HEIGHT)  # the codec is as good as before


def test_a_panic_of_the_range_decoder_is_a_damaged_file(codec, data, monkeypatch, capfd):
    """A real one: its exception derives from BaseException, and would end a program that catches Exception."""
    monkeypatch.setattr(entropy, "RangeDecoder", Panicking)
    with pytest.raises(aecodec.CorruptFile) as raised:
        codec.decode(data)
    assert type(raised.value.__cause__).__name__ == "PanicException"
    assert not isinstance(raised.value.__cause__, Exception)
    assert "panicked" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["boxes", "coder"])
def test_an_interrupt_anywhere_in_decoding_passes(codec, data, monkeypatch, where):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    if where == "boxes":
        monkeypatch.setattr(boxes, "inflate", interrupted)
    else:
        monkeypatch.setattr(codec.coder.engine, "synthesise", interrupted)
    with pytest.raises(KeyboardInterrupt):
        codec.decode(data)


def test_damage_does_not_show_in_warnings(codec, data, api_default):
    """Refusing a file is silent: a program that turns warnings into errors gets the package's error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in (data[:-1], flipped(data, 30, 1), b""):
            with pytest.raises(aecodec.AecError):
                aecodec.decode(content)


@pytest.fixture
def api_default(codec, monkeypatch):
    monkeypatch.setattr(api, "default_codec", lambda: codec)
