"""TIFF tags of types that no standard gives them: the picture is coded, and what of the tags cannot be kept is said."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from aecodec.picture import metadata, reading

SHORT, LONG = 3, 4
ICC, XMP = 34675, 700

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

# A value of every type of TIFF 6.0, and how many it is.
VALUES = {1: (b"\1\0\0\0", 4), 2: (b"ab\0\0", 4), 3: (struct.pack("<HH", 1, 2), 2), 4: (struct.pack("<I", 1), 1),
          5: (struct.pack("<II", 1, 0), 1), 6: (b"\1\0\0\0", 4), 7: (b"\1\2\3\4", 4), 8: (struct.pack("<hh", 1, 2), 2),
          9: (struct.pack("<i", 1), 1), 10: (struct.pack("<ii", 1, 0), 1), 11: (struct.pack("<f", np.inf), 1),
          12: (struct.pack("<d", np.nan), 1), 13: (bytes(4), 1), 16: (struct.pack("<Q", 1), 1)}


def tiff(tag: int, kind: int) -> bytes:
    """A TIFF of one grey pixel, and one more tag."""
    value, count = VALUES[kind]
    tags = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 1}
    size = 8 + 2 + 12 * (len(tags) + 1) + 4
    tags[273] = size
    entries = [struct.pack("<HHII", n, LONG, 1, number) for n, number in tags.items()]
    entries.append(struct.pack("<HHI", tag, kind, count) + (value if len(value) == 4 else struct.pack("<I", size + 1)))
    entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4) + b"\x80" + value


@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("tag", [*sorted(metadata.PHOTO_TAGS), ICC, 274, 33723, 34377, 50000])
def test_a_tag_of_any_type_does_not_matter(tag, kind):
    read = reading.read(io.BytesIO(tiff(tag, kind)))
    assert read.grey
    assert read.pixels.tolist() == [[[128, 128, 128]]]
    assert all(kept is None or isinstance(kept, bytes) for kept in (read.icc, read.exif, read.xmp))


@pytest.mark.parametrize(("tag", "kind", "words"), [(271, 12, "EXIF, which is damaged"),
                                                    (ICC, SHORT, "profile, which is damaged")])
def test_what_cannot_be_kept_is_said(tag, kind, words):
    assert any(words in note for note in reading.read(io.BytesIO(tiff(tag, kind))).notes)
