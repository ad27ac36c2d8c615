#!/usr/bin/env python3
"""Write tests/corrupt: files that must be refused, in folders named by the error, and odd ones that are valid.

None depends on a model's weights: as far as they can be read, they name a model that does not exist, or are lossless.
`inputs` holds beginnings for the fuzzer's targets whose inputs are no files: see targets.py.
"""

from __future__ import annotations

import base64
import dataclasses
import struct
import zlib
from pathlib import Path

import numpy as np

from aecodec.format import container
from aecodec.format.container import AecFile, Box, Header
from aecodec.picture import lossless as lossless_files
from aecodec.picture.reading import Picture

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "corrupt"
PAYLOAD = b"\xc0\xff\xee"
WIDTH, HEIGHT = 20, 12
HEADER = Header(WIDTH, HEIGHT, 40, 0xF0A5, bytes([1, 2, 3, 4]), 0x89ABCDEF, len(PAYLOAD))
FIXED = container.write_header(HEADER)[:17]
EXIF = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
ALPHA = b"".join(bytes([row % 5]) + bytes(range(WIDTH)) for row in range(HEIGHT))


def signed(front: bytes) -> bytes:
    return front + struct.pack("<I", zlib.crc32(front))


def file(*boxes: Box, payload: bytes = PAYLOAD, **changes) -> bytes:
    """A file as the package writes it."""
    header = dataclasses.replace(HEADER, payload_length=len(payload), **changes)
    return container.write_file(AecFile(header, payload, boxes))


def raw(*boxes: bytes, count: int | None = None) -> bytes:
    """A file with bytes for boxes."""
    header = dataclasses.replace(HEADER, boxes=len(boxes) if count is None else count)
    return signed(container.write_header(header) + PAYLOAD) + b"".join(boxes)


def box(kind: bytes, data: bytes, length: int | None = None) -> bytes:
    return signed(kind + struct.pack("<I", len(data) if length is None else length) + data)


def sides(width: str, height: str, length: str = "00") -> bytes:
    """A file of no payload whose three varints are given in hexadecimal digits."""
    return signed(FIXED + bytes.fromhex(width + height + length))


def at(data: bytes, offset: int, value: int) -> bytes:
    return data[:offset] + bytes([value]) + data[offset + 1:]




def deflate_bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def lossless(*boxes: Box, payload: bytes | None = None, **changes) -> bytes:
    """A lossless file of a ramp of greys with transparency."""
    samples = np.frombuffer(ALPHA, np.uint8).reshape(HEIGHT, WIDTH + 1)[:, 1:]
    made = lossless_files.encode(Picture(np.repeat(samples[:, :, None], 3, axis=2), grey=True, alpha=samples[::-1]))
    assert made is not None
    payload = made.payload if payload is None else payload
    header = dataclasses.replace(made.header, payload_length=len(payload), **changes)
    return container.write_file(AecFile(header, payload, boxes))


LOSSLESS = lossless()
WHOLE = file(Box("ALPH", zlib.compress(ALPHA)), Box("exif", zlib.compress(EXIF)), Box("note", b"hi"))

FILES: dict[str, bytes] = {
    # The first letter is what the fuzzer has the boxes target do: write the EXIF to TIFF.
    "inputs/boxes-exif-of-wrong-types-to-tiff": base64.b64decode("BwfGTU0AKgAAAAj7AQENAAsAAAABAAYBAAAAAAAAAAAI"),
    "NotAec/empty": b"",
    "NotAec/one-wrong-byte": b"\xaf",
    "NotAec/text": b"hello, world\n",
    "NotAec/png-signature": b"\x89PNG\r\n\x1a\n" + bytes(30),
    "NotAec/signature-after-a-newline-was-changed": b"\xaeAEC\r\n".replace(b"\xae", b"\xc2\xae") + WHOLE[6:],
    "NotAec/utf-8-of-the-signature": "\xaeAEC".encode() + WHOLE[4:],
    "CorruptFile/first-byte-only": WHOLE[:1],
    "CorruptFile/signature-only": WHOLE[:4],
    "CorruptFile/cut-in-the-fixed-header": WHOLE[:12],
    "CorruptFile/cut-in-a-varint": FIXED + b"\x80",
    "CorruptFile/cut-in-the-payload": WHOLE[:21],
    "CorruptFile/cut-in-the-checksum": WHOLE[:25],
    "CorruptFile/cut-before-the-boxes": WHOLE[:27],
    "CorruptFile/cut-in-a-box-head": WHOLE[:31],
    "CorruptFile/cut-in-the-last-box": WHOLE[:-1],
    "CorruptFile/bytes-after-the-end": WHOLE + b"\n",
    "CorruptFile/twice-the-file": WHOLE + WHOLE,
    "CorruptFile/bit-flipped-in-the-payload": at(WHOLE, 21, WHOLE[21] ^ 8),
    "CorruptFile/bit-flipped-in-a-box": at(WHOLE, len(WHOLE) - 6, WHOLE[-6] ^ 1),
    "CorruptFile/width-0": sides("00", "01"),
    "CorruptFile/height-0": sides("01", "00"),
    "CorruptFile/width-above-24-bits": sides("80808008", "01"),
    "CorruptFile/width-of-35-bits": sides("ffffffff7f", "01"),
    "CorruptFile/varint-of-six-bytes": sides("818080808000", "01"),
    "CorruptFile/varint-not-shortest": sides("8100", "01"),
    "CorruptFile/payload-of-4-gigabytes": sides("01", "01", "ffffffff0f"),
    "CorruptFile/payload-above-32-bits": sides("01", "01", "8080808010"),
    "CorruptFile/fewer-boxes-than-counted": raw(box(b"note", b"hi"), count=2),
    "CorruptFile/fifteen-boxes-counted-and-none": raw(count=15),
    "CorruptFile/box-beyond-the-end": raw(box(b"note", b"hi", 3)),
    "CorruptFile/box-of-4-gigabytes": raw(box(b"note", b"hi", 2**32 - 1)),
    "CorruptFile/box-type-with-a-digit": raw(box(b"not3", b"hi")),
    "CorruptFile/box-type-of-zeros": raw(box(bytes(4), b"")),
    "CorruptFile/box-twice": raw(box(b"note", b"hi"), box(b"note", b"hi")),
    "CorruptFile/alpha-of-nothing": file(Box("ALPH", b"")),
    "CorruptFile/alpha-without-its-last-row": file(Box("ALPH", zlib.compress(ALPHA[:-WIDTH - 1]))),
    "CorruptFile/alpha-with-a-row-too-many": file(Box("ALPH", zlib.compress(ALPHA + bytes(WIDTH + 1)))),
    "CorruptFile/alpha-with-filter-5": file(Box("ALPH", zlib.compress(b"\5" + ALPHA[1:]))),
    "CorruptFile/alpha-with-a-wrong-adler": file(Box("ALPH", zlib.compress(ALPHA)[:-1] + b"\0")),
    "CorruptFile/alpha-with-bytes-behind-it": file(Box("ALPH", zlib.compress(ALPHA) + b"\0")),
    "CorruptFile/alpha-bomb-16-megabytes": file(Box("ALPH", deflate_bomb(16))),
    "CorruptFile/alpha-of-179-megapixels-missing": file(Box("ALPH", zlib.compress(ALPHA)), width=13_377, height=13_377),
    "CorruptFile/profile-cut-short": file(Box("ICCP", zlib.compress(bytes(range(200)))[:-7])),
    "CorruptFile/exif-not-compressed": file(Box("exif", EXIF)),
    "CorruptFile/xmp-of-nothing": file(Box("xmp_", b"")),
    "CorruptFile/xmp-with-a-preset-dictionary": file(Box("xmp_", b"\x78\xbb" + bytes(4) + zlib.compress(b"<x/>")[2:])),
    "UnsupportedVersion/version-1": signed(at(container.write_header(HEADER), 4, 1) + PAYLOAD),
    "UnsupportedVersion/tune-2": signed(at(container.write_header(HEADER), 8, 128) + PAYLOAD),
    "UnsupportedVersion/flag-1": signed(at(container.write_header(HEADER), 5, 2) + PAYLOAD),
    "UnsupportedVersion/flag-3": signed(at(container.write_header(HEADER), 5, 8) + PAYLOAD),
    "UnsupportedVersion/unknown-required-box": raw(box(b"Zzzz", b"")),
    "UnsupportedVersion/exif-in-capitals": raw(box(b"EXIF", zlib.compress(EXIF))),
    "LimitExceeded/largest-sides": sides("ffffff07", "ffffff07"),
    "LimitExceeded/one-row-too-many": file(width=13_377, height=13_379),
    "LimitExceeded/eleven-rows-of-16-million": file(width=2**24 - 1, height=11),
    "valid/smallest": sides("01", "01"),
    "valid/no-payload": file(payload=b""),
    "LimitExceeded/largest-width-of-one-row": sides("ffffff07", "01"),
    "valid/largest-within-the-limit": file(width=13_377, height=13_377),
    "valid/grey": file(grey=True),
    "valid/tune-1": file(tune="psnr"),
    "valid/level-63-model-ffff": file(level=63, model_id=0xFFFF, bundle_hash=b"\xff" * 4, symbol_crc=2**32 - 1),
    "valid/all-boxes": file(Box("ALPH", zlib.compress(ALPHA)), Box("ICCP", zlib.compress(bytes(128))),
                            Box("exif", zlib.compress(EXIF)), Box("xmp_", zlib.compress(b"<x/>"))),
    "valid/boxes-in-another-order": file(Box("xmp_", zlib.compress(b"<x/>")), Box("note", b""),
                                         Box("ALPH", zlib.compress(ALPHA))),
    "valid/fifteen-unknown-boxes": file(*(Box(f"not{letter}", letter.encode()) for letter in "abcdefghijklmno")),
    "valid/box-types-of-underscores": file(Box("____", b"x")),
    "valid/alpha-stored-without-compression": file(Box("ALPH", zlib.compress(ALPHA, 0))),
    "valid/metadata-of-nothing": file(Box("exif", zlib.compress(b"")), Box("xmp_", zlib.compress(b""))),
    "valid/metadata-that-is-nonsense": file(Box("ICCP", zlib.compress(b"no profile")),
                                            Box("exif", zlib.compress(b"no exif")),
                                            Box("xmp_", zlib.compress(b"\xff\0\xfe"))),
    "valid/exif-of-a-directory-beyond-its-end": file(Box("exif", zlib.compress(b"II*\0\x08\0\0\0\xff\xff"))),
    "valid/exif-of-a-directory-in-a-circle": file(Box("exif", zlib.compress(
        b"MM\0*" + struct.pack(">IHHHIII", 8, 1, 0x8769, 4, 1, 8, 8)))),
    "valid/payload-of-ones": file(payload=b"\xff" * 64),
    "valid/payload-of-zeros": file(payload=bytes(64)),
    "valid/lossless": lossless(Box("exif", zlib.compress(EXIF))),
    "CorruptFile/lossless-of-no-payload": lossless(payload=b""),
    "CorruptFile/lossless-of-a-payload-that-is-none": lossless(payload=PAYLOAD),
    "CorruptFile/lossless-of-a-payload-cut-short": lossless(payload=container.read_file(LOSSLESS).payload[:-9]),
    "CorruptFile/lossless-of-another-size": lossless(width=WIDTH + 1),
    "CorruptFile/lossless-of-another-picture": lossless(symbol_crc=1),
    "CorruptFile/lossless-with-alpha-in-a-box": lossless(Box("ALPH", zlib.compress(ALPHA))),
    "CorruptFile/lossless-without-its-alpha": lossless(alpha=False),
    "CorruptFile/lossless-of-level-1": signed(at(LOSSLESS[:-4], 8, 1)),
    "CorruptFile/lossless-with-weights": signed(at(LOSSLESS[:-4], 9, 1)),
    "UnsupportedVersion/lossless-coding-2": signed(at(LOSSLESS[:-4], 6, 2)),
    "inputs/entropy-all-tables": bytes([64]) + bytes(range(64)) + bytes(range(0, 240, 3)),
    "inputs/entropy-beyond-every-interval": bytes([8]) + bytes(range(1, 9)) + b"\xff" * 32,
    "inputs/entropy-no-payload": bytes([255]) + bytes(range(255)),
    "inputs/entropy-table-0-alone": bytes([20]) + bytes(20) + b"anything",
    "inputs/boxes-alpha": bytes([WIDTH - 1, HEIGHT - 1, 4]) + ALPHA,
    "inputs/boxes-alpha-packed": bytes([WIDTH - 1, HEIGHT - 1, 0]) + zlib.compress(ALPHA),
    "inputs/boxes-profile-to-jpeg": bytes([0, 0, 5 + 16]) + bytes(16) + b"RGB " + bytes(108),
    "inputs/boxes-exif-to-tiff": bytes([7, 7, 6 + 64]) + EXIF,
    "inputs/boxes-exif-to-webp": bytes([7, 7, 6 + 48]) + EXIF,
    "inputs/boxes-exif-turned": bytes([7, 7, 6 + 192]) + EXIF,
    "inputs/boxes-xmp-to-png": bytes([7, 7, 7]) + b"<x tiff:Orientation='6'/>",
    "inputs/boxes-xmp-not-text-to-jpeg": bytes([7, 7, 7 + 16]) + b"\xff\xfe\0",
}


def main() -> None:
    for name, data in FILES.items():
        path = CORPUS / (name if name.startswith("inputs/") else f"{name}.aec")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(FILES)} files, {sum(map(len, FILES.values())):,} bytes in {CORPUS}")


if __name__ == "__main__":
    main()
