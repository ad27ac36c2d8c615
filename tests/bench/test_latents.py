"""`aecodec bench latents`: tables made of a small picture, their files, and what is said when something is missing."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("skimage")
pytest.importorskip("cv2")
pytest.importorskip("pywt")
pytest.importorskip("matplotlib")

from aecodec.bench.cli import bench
from aecodec.bench.latents import bottleneck, denoise, inpaint, inputs
from helpers import make_photo


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    Image.fromarray(make_photo(176, 176)).save(folder / "a.png")
    return folder


def test_missing_pictures_are_named_with_the_option(tmp_path):
    done = CliRunner().invoke(bench, ["latents", "denoise", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "--pictures" in done.stderr


def test_other_tables_are_refused():
    done = CliRunner().invoke(bench, ["latents", "sparser"])
    assert done.exit_code == 2
    assert "choose from bottleneck" in done.stderr


def test_the_bottleneck_narrows(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(bottleneck, "LEVELS", (42,))
    table = bottleneck.run(inputs.Inputs(pictures), tmp_path)
    values = [table.value("level 42", str(count)) for count in bottleneck.KEPT]
    assert values[-1] > values[3] > values[0]
    assert (tmp_path / "bottleneck.png").exists()


def test_every_method_fills_what_is_hidden(pictures, tmp_path, monkeypatch):
    from aecodec.latents import inpaint as work

    monkeypatch.setattr(work, "PASSES", 4)
    table = inpaint.run(inputs.Inputs(pictures), tmp_path)
    assert {row.method for row in table.rows} == {"biharmonic", "Telea", inpaint.OURS}
    assert all(row.values["PSNR"] > 15 for row in table.rows)
    assert (tmp_path / "inpainting.png").exists()


def test_every_method_takes_noise_out(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(denoise, "SIGMAS", (20,))
    table = denoise.run(inputs.Inputs(pictures), tmp_path)
    noisy = table.value("noisy", "sigma 20", "white")
    assert all(row.values["sigma 20"] > noisy + 1 for row in table.rows if row.method != "noisy")
    assert (tmp_path / "denoising.png").exists()


def test_a_quarter_of_the_cells_is_hidden():
    missing = inpaint.hidden_cells(160, 320, np.random.default_rng(0))
    assert missing.mean() == 0.25
    np.testing.assert_array_equal(missing[::16, ::16], missing[15::16, 15::16])


@pytest.mark.parametrize("add", [denoise.white, denoise.sensor])
def test_noise_is_as_strong_as_it_says(add):
    pixels = np.full((128, 128, 3), 120, np.uint8)
    made = add(pixels, 15, np.random.default_rng(0)).astype(float)
    assert 14 < np.sqrt(np.mean((made - pixels) ** 2)) < 16


def test_sensor_noise_is_what_its_name_says():
    """In linear light, the brighter half has more of it."""
    pixels = np.full((128, 128, 3), 60, np.uint8)
    pixels[64:] = 180
    error = np.square(denoise.to_linear(denoise.sensor(pixels, 10, np.random.default_rng(0)) / 255.0)
                      - denoise.to_linear(pixels / 255.0))
    assert error[64:].mean() > 3 * error[:64].mean()
