"""The context model: which latents are known when, and to whom."""

from __future__ import annotations

import pytest
import torch

from aecodec.format.constants import (
    GROUPS,
    STEPS,
)
from aecodec.kernels import coded_parts
from aecodec.network.blocks import (
    Pointwise,
)
from aecodec.network.context import (
    MeanContext,
    Means,
    step_of,
)
from helpers import random_parameters


@pytest.mark.parametrize("size", [(1, 1), (1, 4), (3, 2), (6, 7)])
def test_every_latent_becomes_known_once(size):
    height, width = size
    steps = step_of(16, height, width)
    assert steps.shape == (16, height, width)
    assert set(steps.unique().tolist()) <= set(range(STEPS))
    for row in range(height):
        for column in range(width):
            assert sorted(steps[::4, row, column].tolist()) == list(range(STEPS))  # each group in another step
    if min(size) > 1:
        for group in range(STEPS):
            phases = steps[4 * group:4 * group + 4, :2, :2]
            assert (phases == phases[:1]).all()  # a whole group together
            assert sorted(phases[0].flatten().tolist()) == list(range(STEPS))  # each phase in another step


def test_the_slices_of_a_step_are_its_mask():
    for height, width in ((1, 1), (2, 3), (5, 4)):
        steps = step_of(16, height, width)[None]
        for step in range(STEPS):
            mask = torch.zeros_like(steps, dtype=torch.int64)
            for part in coded_parts(16, GROUPS[step]):
                mask[part] += 1
            assert torch.equal(mask, (steps == step).long())


def test_the_means_of_a_part_are_those_of_all():
    torch.manual_seed(13)
    head, x = random_parameters(Pointwise(24, 16), 14), torch.randn(1, 24, 5, 4)
    with torch.no_grad():
        for step in range(STEPS):
            for part in coded_parts(16, GROUPS[step]):
                torch.testing.assert_close(Means(head, x).of(part), Means(head, x).all()[part])


def test_the_context_sees_known_latents_only():
    """Changing a latent changes the means of later steps, never of its own or of earlier ones."""
    context = random_parameters(MeanContext(16, 24), 10)
    features, level = torch.randn(1, 24, 6, 6), torch.tensor([5])
    steps = step_of(16, 6, 6)

    def means_of(latents):
        seen = []

        def code(step, _, means):
            seen.append(means.all())
            return torch.where(steps <= step, latents, 0)

        with torch.no_grad():
            context(features.clone(), level, code)
        return seen

    latents = torch.randn(1, 16, 6, 6)
    before = means_of(latents)
    for changed in range(STEPS):
        after = means_of(torch.where(steps == changed, latents + 1, latents))
        for step in range(STEPS):
            assert torch.equal(before[step], after[step]) == (step <= changed)


def test_latents_come_in_four_groups():
    with pytest.raises(ValueError, match="multiple of 4"):
        MeanContext(18, 8)
