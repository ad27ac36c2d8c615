"""The shipped weights on real photographs."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from aecodec.coder import Coder
from aecodec.format.container import write_file
from aecodec.metrics import psnr


@pytest.fixture(scope="module")
def coder(codec) -> Coder:
    return codec.coder


@pytest.mark.parametrize("number", [0, 19])
def test_rate_and_quality_rise_with_the_level(coder, kodak, number):
    pixels = np.asarray(Image.open(kodak[number]).convert("RGB"))
    sizes, qualities = [], []
    for level in range(0, 64, 9):
        file = coder.encode(pixels, level)
        sizes.append(len(write_file(file)))
        qualities.append(psnr(coder.decode(file), pixels))
    assert sizes == sorted(set(sizes))
    assert qualities == sorted(set(qualities))


@pytest.mark.parametrize("level", [0, 30, 63])
def test_file_is_as_small_as_the_entropy_of_its_model(coder, kodak, level):
    pixels = np.asarray(Image.open(kodak[7]).convert("RGB"))
    file = coder.encode(pixels, level)
    read = coder.read_symbols(file)
    entropy = 0.0
    for symbols, tables in ((read.z, read.z_tables), (read.y, read.y_tables)):
        for table in range(1, len(coder.tables.half)):
            values, half = symbols[tables == table], int(coder.tables.half[table])
            slots = np.where(np.abs(values) > half, 2 * half + 1, values + half)
            entropy += coder.tables.bits(table)[slots].sum() / 8
    # The header and two checksums are about 33 bytes of their own.
    assert len(file.payload) < 1.003 * entropy + 16
    assert len(write_file(file)) < len(file.payload) + 40


def test_beats_jpeg_at_the_same_size(coder, kodak):
    for path in kodak[::8]:
        image = Image.open(path).convert("RGB")
        pixels = np.asarray(image)
        for quality in (30, 80):
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
            low, high = 0, 64  # the file of level `low` fits, that of `high` does not
            while high - low > 1:
                middle = (low + high) // 2
                fits = len(write_file(coder.encode(pixels, middle))) <= buffer.tell()
                low, high = (middle, high) if fits else (low, middle)
            ours = psnr(coder.decode(coder.encode(pixels, low)), pixels)
            assert ours > psnr(np.asarray(Image.open(buffer)), pixels), f"{path.name} at JPEG quality {quality}"
