"""A new network is a transform codec."""

from __future__ import annotations

import pytest
import torch

from aecodec.metrics import psnr
from aecodec.network.transforms import Analysis, Synthesis, start_as_transform
from helpers import centred


@pytest.mark.parametrize(("latents", "least"), [(768, 90), (320, 30), (64, 20)])
def test_a_new_network_is_a_transform_codec(photo, latents, least):
    picture, level = centred(photo, 192, 288), torch.tensor([30])
    analysis, synthesis = Analysis(192, latents, (1, 1)), Synthesis(192, latents, (1, 1))
    deviation = start_as_transform(analysis, synthesis, picture)
    with torch.no_grad():
        y = analysis(picture, level)
        restored = synthesis(y.clone(), level)
    assert y.shape == (1, latents, 12, 18)
    assert deviation.shape == (latents,)
    assert psnr(255 * restored, 255 * picture) > least
    if latents == 64:  # the energies are those of the photo (the weakest of 768 have none)
        torch.testing.assert_close(y.square().mean(dim=(0, 2, 3)).sqrt(), torch.ones(latents), rtol=1e-3, atol=1e-3)


def test_the_start_keeps_the_strongest_and_deals_them_to_all_groups(photo):
    picture = centred(photo, 192, 288)
    deviation = start_as_transform(Analysis(192, 64, (0, 0)), Synthesis(192, 64, (0, 0)), picture)
    groups = deviation.view(4, 16)
    assert (groups[:, 1:] <= groups[:, :-1]).all()
    assert float(groups[:, 0].min()) > float(groups[:, -1].max())
    every = start_as_transform(Analysis(192, 768, (0, 0)), Synthesis(192, 768, (0, 0)), picture)
    torch.testing.assert_close(deviation.sort().values, every.sort().values[-64:])


def test_the_start_needs_room_for_every_frequency(photo):
    with pytest.raises(ValueError, match="192"):
        start_as_transform(Analysis(64, 64, (0, 0)), Synthesis(64, 64, (0, 0)), centred(photo, 64, 64))
