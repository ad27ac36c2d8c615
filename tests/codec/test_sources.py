"""What the Python API takes and gives."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import aecodec


def test_encode_takes_what_people_have(codec, photo, tmp_path):
    crop = photo[:40, :60]
    want = codec.encode(crop)
    image = Image.fromarray(crop)
    image.save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as file:
        assert codec.encode(file) == want
    for source in (image, tmp_path / "a.png", str(tmp_path / "a.png"), io.BytesIO((tmp_path / "a.png").read_bytes())):
        assert codec.encode(source) == want
    with pytest.raises(TypeError, match="file object"):
        codec.encode([[0]])


def test_decode_gives_what_people_ask_for(codec, photo):
    alpha = np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8)
    for pixels in (photo[:40, :60], photo[:40, :60, 0], np.dstack([photo[:40, :60], alpha]),
                   np.dstack([photo[:40, :60, 0], alpha])):
        data = codec.encode(pixels)
        array = codec.decode(data, output="array")
        assert array.shape == pixels.shape
        assert np.array_equal(array, np.asarray(codec.decode(io.BytesIO(data))))
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            assert np.array_equal(array[:, :, -1:], alpha)
    with pytest.raises(ValueError, match="image, array or tensor"):
        codec.decode(data, output="numpy")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_decode_gives_tensors(codec, photo, channels):
    torch = pytest.importorskip("torch")
    pixels = np.dstack([photo[:40, :60], photo[40:80, :60, :1]])[:, :, :channels].squeeze()
    data = codec.encode(pixels)
    tensor = codec.decode(data, output="tensor")
    assert (tensor.dtype, str(tensor.device)) == (torch.uint8, codec.device)
    array = codec.decode(data, output="array")
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), array[:, :, None] if array.ndim == 2 else array)


def test_the_api_warns(codec):
    with pytest.warns(aecodec.PictureWarning, match="16 bits"):
        codec.encode(Image.fromarray(np.zeros((4, 4), np.uint16)))


def test_importing_the_package_imports_nothing_slow():
    code = ("import sys, aecodec; slow = {'torch', 'numpy', 'PIL', 'click', 'rich'} & set(sys.modules); "
            "assert not slow, slow; assert set(aecodec.__all__) <= set(dir(aecodec)); aecodec.Codec")
    subprocess.run([sys.executable, "-c", code], check=True)
