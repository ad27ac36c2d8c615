from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aecodec.bench import drawings, pictures
from aecodec.bench.drawings import photograph


def test_pictures_are_upright_rgb(folder: Path) -> None:
    found, left_out = pictures.from_folder(folder, "photos")
    assert left_out == {}
    assert [(picture.name, picture.width, picture.height) for picture in found] == [("a", 48, 32), ("b", 24, 40)]
    assert np.array_equal(found[0].pixels(), photograph(48, 32, seed=1))
    assert np.array_equal(found[1].pixels(), np.rot90(photograph(40, 24, seed=2), -1))


def test_other_modes_become_8_bit_rgb(tmp_path: Path) -> None:
    grey = photograph(20, 10)[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    alpha = np.dstack([photograph(20, 10), grey])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    assert np.array_equal(pictures.read_pixels(tmp_path / "grey.png"), np.dstack([grey] * 3))
    assert np.array_equal(pictures.read_pixels(tmp_path / "deep.png"), np.dstack([grey] * 3))
    assert np.array_equal(pictures.read_pixels(tmp_path / "alpha.png"), alpha[:, :, :3])


def test_damaged_files_are_named_and_left_out(folder: Path) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "c-truncated.png").write_bytes(whole[:len(whole) // 2])
    (folder / "d-corrupt.png").write_bytes(whole[:20] + bytes(40) + whole[60:])
    (folder / "e-notes.txt").write_text("no picture")
    (folder / "f-empty.jpg").write_bytes(b"")
    (folder / "a.bmp").write_bytes(b"of a name that is taken")
    (folder / ".hidden").write_text("not looked at")
    (folder / "subfolder").mkdir()
    found, left_out = pictures.from_folder(folder, "photos")
    assert [picture.name for picture in found] == ["a", "b"]
    assert set(left_out) == {"a.bmp", "c-truncated.png", "d-corrupt.png", "e-notes.txt", "f-empty.jpg"}
    assert all(left_out.values())


def test_a_bomb_is_left_out(shared_data: Path, tmp_path: Path) -> None:
    for name in ("bomb.gif", "corrupt-header.jpg", "truncated.png", "grey.jpg"):
        shutil.copy(shared_data / "inputs" / name, tmp_path)
    found, left_out = pictures.from_folder(tmp_path, "inputs")
    assert [picture.name for picture in found] == ["grey"]
    assert set(left_out) == {"bomb.gif", "corrupt-header.jpg", "truncated.png"}


def test_another_picture_of_the_same_name_has_another_digest(folder: Path) -> None:
    before = pictures.from_folder(folder, "photos")[0][0]
    Image.fromarray(photograph(48, 32, seed=9)).save(folder / "a.png")
    after = pictures.from_folder(folder, "photos")[0][0]
    assert before.digest != after.digest
    Image.fromarray(photograph(48, 32, seed=1)).save(folder / "a.png", compress_level=0)
    assert pictures.from_folder(folder, "photos")[0][0].digest == before.digest


def test_the_drawn_pictures(folder: Path) -> None:
    photos = pictures.from_folder(folder, "photos")[0]
    drawn = pictures.drawn(photos)
    assert {picture.dataset for picture in drawn} == set(pictures.DRAWN)
    thumbnails = {picture.name: (picture.width, picture.height) for picture in drawn if "px" in picture.name}
    assert thumbnails == {"a-32px": (32, 21), "a-96px": (48, 32), "b-32px": (19, 32), "b-96px": (24, 40)}
    for picture in drawn:
        pixels = picture.pixels()
        assert pixels.shape == (picture.height, picture.width, 3)
        assert pixels.dtype == np.uint8
        assert pixels.std() > 5, f"{picture.name} is blank"
    assert [picture.digest for picture in pictures.drawn(photos)] == [picture.digest for picture in drawn]


def test_screenshots_are_flat_and_the_photograph_is_not() -> None:
    """What sets them apart for a codec: most neighbours in a screenshot are equal."""
    def equal_neighbours(pixels: np.ndarray) -> float:
        return float(np.mean(np.all(pixels[:, 1:] == pixels[:, :-1], axis=2)))

    for name in drawings.NAMES["screenshot"] + drawings.NAMES["text"]:
        dataset = "screenshot" if name in drawings.NAMES["screenshot"] else "text"
        assert equal_neighbours(drawings.draw(dataset, name)) > 0.6
    assert equal_neighbours(photograph(200, 100)) < 0.1


def test_an_unknown_drawing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no drawing text/nothing"):
        drawings.draw("text", "nothing")
