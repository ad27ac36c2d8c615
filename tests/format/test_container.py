"""The container: bytes to fields and boxes and back, and what it refuses."""

from __future__ import annotations

import dataclasses
import re
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aecodec import errors
from aecodec.format import container
from aecodec.format.container import AecFile, Box, Header
from helpers import FORMAT, box_bytes, format_example, hex_bytes, signed

HEADER = Header(width=300, height=2, level=63, model_id=0xF0A5, bundle_hash=bytes([1, 2, 3, 4]), symbol_crc=0x89ABCDEF,
                payload_length=3, grey=True, boxes=1)
PAYLOAD = b"\xc0\xff\xee"
FILE = AecFile(HEADER, PAYLOAD, (Box("note", b"hi"),))
RANGES = {"width": (1, 2**24 - 1), "height": (1, 2**24 - 1), "level": (0, 63), "model_id": (0, 0xFFFF),
          "symbol_crc": (0, 2**32 - 1), "payload_length": (0, 2**32 - 1), "boxes": (0, 15)}


def whole(*boxes: bytes) -> bytes:
    """A file with boxes as they are given."""
    return signed(container.write_header(dataclasses.replace(HEADER, boxes=len(boxes))) + PAYLOAD) + b"".join(boxes)


headers = st.builds(
    Header, bundle_hash=st.binary(min_size=4, max_size=4), grey=st.booleans(),
    **{name: st.integers(low, high) for name, (low, high) in RANGES.items() if name != "payload_length"},
    payload_length=st.just(0))
kinds = st.text("ABCXYZabcxyz_", min_size=4, max_size=4)


# -- round trips --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(headers, st.binary(max_size=300), st.dictionaries(kinds, st.binary(max_size=40), max_size=4))
def test_a_file_reads_back_as_it_was_written(header, payload, boxes):
    header = dataclasses.replace(header, payload_length=len(payload), boxes=len(boxes))
    file = AecFile(header, payload, tuple(Box(kind, data) for kind, data in boxes.items()))
    data = container.write_file(file)
    assert container.read_file(data, known_boxes=None) == file
    assert container.read_file(data, known_boxes=frozenset(boxes)) == file


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_the_ends_of_every_range_are_written_and_read(name, end):
    header = dataclasses.replace(HEADER, **{name: RANGES[name][end]})
    data = container.write_header(header)
    assert container.read_header(data) == (header, len(data))


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("beyond", [0, 1])
def test_a_field_out_of_range_is_not_written_and_is_named(name, beyond):
    low, high = RANGES[name]
    header = dataclasses.replace(HEADER, **{name: high + 1 if beyond else low - 1})
    with pytest.raises(ValueError, match=name):
        container.write_header(header)


def test_a_bundle_hash_has_four_bytes():
    with pytest.raises(ValueError, match="bundle_hash"):
        container.write_header(dataclasses.replace(HEADER, bundle_hash=b"123"))


def test_a_wrong_payload_length_is_not_written():
    with pytest.raises(ValueError, match="payload"):
        container.write_file(AecFile(HEADER, PAYLOAD + b"!"))


@pytest.mark.parametrize("data", [bytes, bytearray, memoryview])
def test_any_bytes_like_object_is_read(data):
    assert container.read_file(data(container.write_file(FILE))) == FILE


@pytest.mark.parametrize(("tune", "number"), [("visual", 0), ("psnr", 1)])
def test_the_point_holds_tune_and_level(tune, number):
    for level in (0, 5, 63):
        header = dataclasses.replace(HEADER, level=level, tune=tune)
        data = container.write_header(header)
        assert data[8] == header.point == 64 * number + level
        assert container.read_header(data)[0] == header
    with pytest.raises(ValueError, match="tune"):
        container.write_header(dataclasses.replace(HEADER, tune="nice"))


def test_what_a_header_says_of_itself():
    assert HEADER.mode == "L"
    assert dataclasses.replace(HEADER, grey=False).mode == "RGB"
    assert HEADER.quality == 100
    assert HEADER.experimental
    assert not dataclasses.replace(HEADER, model_id=0xEFFF).experimental


# -- the header ---------------------------------------------------------------------------------------------------


def test_the_header_is_read_from_the_first_64_bytes():
    header = Header(2**24 - 1, 2**24 - 1, 63, 0xFFFF, b"\xff" * 4, 2**32 - 1, 2**32 - 1)
    start = container.write_header(header)
    assert len(start) == 30
    assert container.read_header((start + bytes(200))[:64]) == (header, len(start))


def altered(offset: int, value: int) -> bytes:
    data = bytearray(container.write_header(HEADER))
    data[offset] = value
    return signed(bytes(data) + PAYLOAD)


@pytest.mark.parametrize(("data", "error"), [
    (b"", errors.NotAec),
    (b"\x89PNG\r\n\x1a\n" + bytes(100), errors.NotAec),
    (altered(0, 0xAF), errors.NotAec),
    (altered(3, ord("D")), errors.NotAec),
    (b"\xaeAE", errors.CorruptFile),
    (altered(4, 1), errors.UnsupportedVersion),
    (altered(4, 255), errors.UnsupportedVersion),
    *[(altered(5, 1 << bit), errors.UnsupportedVersion) for bit in range(1, 4)],
    (altered(8, 128), errors.UnsupportedVersion),
    (altered(8, 255), errors.UnsupportedVersion),
    (altered(19, 0), errors.CorruptFile),  # height 0
])
def test_what_a_reader_refuses_in_the_header(data, error):
    with pytest.raises(error):
        container.read_header(data)
    with pytest.raises(error):
        container.read_file(data)


FIXED = container.write_header(HEADER)[:17]


@pytest.mark.parametrize("varint", ["00", "80 80 80 08", "80 80 80 80 10", "ff ff ff ff 7f"])
@pytest.mark.parametrize("name", ["width", "height"])
def test_a_side_outside_its_range_is_refused_and_named(varint, name):
    sides = [bytes.fromhex(varint), b"\x01"]
    front = FIXED + b"".join(sides if name == "width" else reversed(sides)) + b"\x00"
    with pytest.raises(errors.CorruptFile, match=name):
        container.read_file(signed(front))


@pytest.mark.parametrize("varint", ["80 00", "81 00", "ff 80 00", "80 80 80 80 00",  # not the shortest form
                                    "80 80 80 80 80", "ff ff ff ff ff 01", "81 80 80 80 80 00"])  # above five bytes
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_varint_in_another_form_is_refused(varint, place):
    fields = [b"\x01", b"\x01", b"\x00"]
    fields[place] = bytes.fromhex(varint)
    with pytest.raises(errors.CorruptFile, match=("width", "height", "payload length")[place]):
        container.read_file(signed(FIXED + b"".join(fields)))


def test_a_payload_length_above_32_bits_is_refused():
    with pytest.raises(errors.CorruptFile, match="payload length"):
        container.read_header(FIXED + b"\x01\x01" + bytes.fromhex("80 80 80 80 10"))


def test_a_long_payload_is_not_believed():
    """The header says 4 GB, the file has 30 bytes: refused by its length, not by trying to read it."""
    with pytest.raises(errors.CorruptFile, match="cut short"):
        container.read_file(signed(FIXED + b"\x01\x01" + bytes.fromhex("ff ff ff ff 0f")))


def test_pixels_are_limited():
    side = 13_377  # 13377^2 is just below the limit, 13378^2 just above
    with pytest.warns(errors.LargePictureWarning, match="179 megapixels"):
        container.check_pixels(side, side)
    with pytest.raises(errors.LimitExceeded, match="--limit-pixels"):
        container.check_pixels(side + 1, side + 1)
    with pytest.warns(errors.LargePictureWarning):
        container.check_pixels(side + 1, side + 1, 10**9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        container.check_pixels(9459, 9459)  # just below 89 megapixels
        container.check_pixels(2**24 - 1, 2**24 - 1, None)
        container.check_pixels(3, 4, 12)
    with pytest.raises(errors.LimitExceeded):
        container.check_pixels(3, 4, 11)


def test_long_and_thin_pictures_are_limited_by_what_they_cost():
    """A line of 16 million pixels is padded to 64 of them."""
    for width, height in ((2**24 - 1, 1), (1, 2**24 - 1), (2**24 - 1, 10), (2_900_000, 1)):
        with pytest.raises(errors.LimitExceeded, match="thin"):
            container.check_pixels(width, height)
        container.check_pixels(width, height, None)
    container.check_pixels(2_700_000, 1)
    container.check_pixels(100_000, 1, 100_000)


# -- damage -------------------------------------------------------------------------------------------------------


def test_a_file_cut_short_at_any_byte_is_refused():
    data = container.write_file(FILE)
    for length in range(len(data)):
        with pytest.raises(errors.AecError):
            container.read_file(data[:length])


def test_a_flipped_bit_anywhere_is_refused():
    data = container.write_file(FILE)
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(errors.AecError):
                container.read_file(bytes(damaged), known_boxes=None)


@pytest.mark.parametrize("extra", [1, 4, 11, 12, 100])
def test_bytes_after_the_end_are_refused(extra):
    with pytest.raises(errors.CorruptFile):
        container.read_file(container.write_file(FILE) + bytes(extra))


# -- boxes --------------------------------------------------------------------------------------------------------

def test_the_boxes_are_counted():
    boxes = tuple(Box(f"not{letter}", b"") for letter in "abcdefghijklmno")
    assert container.read_file(container.write_file(AecFile(HEADER, PAYLOAD, boxes))).boxes == boxes
    with pytest.raises(ValueError, match="boxes 16"):
        container.write_file(AecFile(HEADER, PAYLOAD, (*boxes, Box("more", b""))))
    one, two = box_bytes(b"what", b"x"), box_bytes(b"else", b"")
    with pytest.raises(errors.CorruptFile, match="1 of 2 boxes"):
        container.read_file(whole(one, two)[:-len(two)])
    with pytest.raises(errors.CorruptFile, match="13 bytes follow"):
        container.read_file(whole() + one)


def test_an_unknown_box_may_be_skipped_unless_it_is_required():
    optional, required = whole(box_bytes(b"what", b"x")), whole(box_bytes(b"What", b"x"))
    assert container.read_file(optional).boxes == (Box("what", b"x"),)
    assert container.read_file(whole(box_bytes(b"_hat", b""))).boxes == (Box("_hat", b""),)
    with pytest.raises(errors.UnsupportedVersion, match="What"):
        container.read_file(required)
    assert container.read_file(required, frozenset({"What"})).boxes == (Box("What", b"x"),)
    assert container.read_file(required, None).boxes == (Box("What", b"x"),)


@pytest.mark.parametrize("kind", ["what", "What"])
def test_a_box_occurs_once(kind):
    once = box_bytes(kind.encode(), b"x")
    with pytest.raises(errors.CorruptFile, match="twice"):
        container.read_file(whole(once, box_bytes(b"else", b""), once), None)


def test_a_box_is_not_written_twice():
    with pytest.raises(ValueError, match="note"):
        container.write_file(AecFile(HEADER, PAYLOAD, (Box("note", b"1"), Box("note", b"2"))))


@pytest.mark.parametrize("kind", [b"wh t", b"wha1", b"wha\x00", b"wha\xe4", b"w.at"])
def test_a_box_type_is_four_letters(kind):
    with pytest.raises(errors.CorruptFile, match="letters"):
        container.read_file(whole(box_bytes(kind, b"x")), None)


@pytest.mark.parametrize("kind", ["", "abc", "abcde", "ab d", "ab1d", "abcé", "\u00e4bcd"])
def test_a_wrong_box_type_is_not_written(kind):
    with pytest.raises(ValueError, match="box type"):
        container.write_file(AecFile(HEADER, PAYLOAD, (Box(kind, b""),)))


@pytest.mark.parametrize("length", [3, 4, 1000, 2**28, 2**28 + 1, 2**32 - 1])
def test_a_box_that_reaches_beyond_the_end_is_refused(length):
    with pytest.raises(errors.CorruptFile, match="beyond"):
        container.read_file(whole(box_bytes(b"what", b"xy", length)), None)


def test_a_box_above_the_limit_is_refused(monkeypatch):
    assert container.MAX_BOX == 1 << 28
    monkeypatch.setattr(container, "MAX_BOX", 4)
    assert container.read_file(whole(box_bytes(b"what", b"1234"))).boxes
    with pytest.raises(errors.CorruptFile):
        container.read_file(whole(box_bytes(b"what", b"12345")))
    with pytest.raises(ValueError, match="what"):
        container.write_file(AecFile(HEADER, PAYLOAD, (Box("what", b"12345"),)))


# -- FORMAT.md ----------------------------------------------------------------------------------------------------


def test_the_example_file_of_the_format():
    data = b"".join(hex_bytes(line) for line in format_example("example-file"))
    assert len(data) == 42
    assert container.read_file(data) == FILE
    assert container.write_file(FILE) == data


def test_the_example_varints_of_the_format():
    line = re.search(r"\n    (0 = 00, .*)\n", FORMAT.read_text())
    assert line
    pairs = [pair.split(" = ") for pair in line[1].split(", ")]
    assert len(pairs) == 7
    for value, written in pairs:
        # The payload length is the varint that may take every value.
        header = dataclasses.replace(HEADER, payload_length=int(value))
        assert container.write_header(header)[20:] == bytes.fromhex(written)


def test_the_limits_of_the_format():
    text = FORMAT.read_text()
    for limit in (container.MAX_PIXELS, container.MAX_BOX, container.MAX_SIDE, container.MAX_PAYLOAD):
        assert re.search(rf"\b{limit}\b", text), limit
