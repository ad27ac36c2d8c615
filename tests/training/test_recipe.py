"""Recipes: those that ship, overrides, files of one's own, and what is told of mistakes."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

pytest.importorskip("torch")
if sys.version_info < (3, 11):
    pytest.importorskip("tomli")

from aecodec.network.model import ModelConfig
from aecodec.training import recipe as recipes


@pytest.mark.parametrize("path", sorted(recipes.RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_recipes_that_ship_are_whole(path):
    recipe = recipes.load(path.stem)
    assert recipe.name == path.stem
    assert replace(recipe.sizes, tunes=1, kernel=3, conditioned=False, informed=False,
                   lambda_max=ModelConfig.lambda_max) == ModelConfig()
    assert sum(recipe.shares) == 1
    assert sum(recipe.terms.values()) == 1
    assert recipe.decay.crop == 320
    assert recipe.decay.batch == 2 * recipe.plateau.batch
    assert recipe.decay.dither < recipe.plateau.dither


def test_the_two_objectives():
    assert recipes.load().terms == {"mse": 0.25, "visual": 0.75}
    psnr = recipes.load("psnr")
    assert {name: weight for name, weight in psnr.terms.items() if weight} == {"mse": 1.0}
    assert psnr.plateau == recipes.load("small").plateau


def test_overrides():
    changed = recipes.load(overrides=["phases.decay.rate=0.5", "sizes.latents=64", "sizes.analysis_blocks=[1, 0]",
                                      "run.precision=no", "terms.ms_ssim=1", "corruption.shot=[1e-4, 1e-2]",
                                      "phases.plateau.decoder_only=true"])
    assert changed.decay.rate == 0.5
    assert (changed.sizes.latents, changed.sizes.analysis_blocks) == (64, (1, 0))
    assert changed.run.precision == "no"
    assert changed.terms == {"mse": 0.25, "visual": 0.75, "ms_ssim": 1}
    assert changed.corruption is not None
    assert changed.corruption.shot == (1e-4, 1e-2)
    assert changed.plateau.decoder_only
    assert changed.optimiser == recipes.load().optimiser


def test_a_recipe_survives_its_own_values():
    recipe = recipes.load("psnr", ["corruption.masked=0.25", "phases.plateau.crop=128"])
    assert recipes.Recipe.from_dict(recipe.to_dict()) == recipe


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "small"\n[terms]\nmse = 0.5\nvisual = 0.5\n')
    recipe = recipes.load(path)
    assert (recipe.name, recipe.terms["mse"], recipe.decay.crop) == ("mine", 0.5, 320)


@pytest.mark.parametrize(("text", "word"), [
    ("[phases.plateau]\ncolour = 1", "colour"),
    ("[phases.summer]\nrate = 1.0", "summer"),
    ("[terms]\nbeauty = 1.0", "masked_luma_mse"),
    ("[terms]\nmse = -1.0", "0 or more"),
    ("[terms]\nmse = 0.0", "no term a weight"),
    ("[phases.plateau]\ncrop = 100", "multiple of 64"),
    ("[phases.plateau]\ncrop = 256.0", "type int"),
    ("[phases.decay]\nbatch = 3\nparts = 2", "equal parts"),
    ("[phases.plateau]\ncrop = 128\n[terms]\nms_ssim = 1.0", "161"),
    ("[run]\nprecision = 'fp16'", "fp16"),
    ("[sizes]\ncolour = 1", "colour"),
    ("[sizes]\ntunes = 2", "trains for 1"),
    ("[sizes]\ntunes = 2\n[tunes.fine]\nshare = 1.5", "between 0 and 1"),
    ("[sizes]\ntunes = 2\n[tunes.fine]\nterms = { beauty = 1.0 }", "masked_luma_mse"),
    ("extends = 'nothing'", "nothing"),
    ("mse = ", "not a recipe"),
])
def test_mistakes_are_told(tmp_path, text, word):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=word):
        recipes.load(path)


@pytest.mark.parametrize("text", ["crop", "crop=3", "=3", "a.=3", "phases.plateau.crop.x=3"])
def test_overrides_that_change_nothing(text):
    with pytest.raises(ValueError, match=text.partition("=")[0] or "="):
        recipes.load(overrides=[text])


def test_a_recipe_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="psnr, small"):
        recipes.load("nowhere")
