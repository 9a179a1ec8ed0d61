"""What a run makes of a recipe for the pictures that there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from alexnet.network.variants import variant
from alexnet.pictures.layout import TRAIN
from alexnet.training.config import resolve
from alexnet.training.recipe import EPOCHS, STEPS
from alexnet.training.recipes import recipe


@pytest.mark.parametrize("batch", [1, 3, 8, 500])
def test_a_small_set_is_seen_more_often(photos: Path, batch: int) -> None:
    """By default as often as makes enough steps; as often as asked where that is said."""
    asked = replace(recipe("fast"), batch_size=batch)
    config, parts = resolve(photos, None, (), 0, asked, variant("lenet-5"))
    steps = config.recipe.epochs * len(parts[TRAIN]) / config.recipe.batch_size
    if config.recipe.epochs > EPOCHS:
        assert STEPS - len(parts[TRAIN]) / config.recipe.batch_size < steps <= STEPS
    else:
        assert config.recipe.epochs == EPOCHS and steps > STEPS - len(parts[TRAIN]) / config.recipe.batch_size
    exactly, _ = resolve(photos, None, (), 0, replace(asked, epochs=2), variant("lenet-5"))
    assert exactly.recipe.epochs == 2
