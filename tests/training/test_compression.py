"""Pruning and weight sharing: what stays, which values it takes, how small that is, and that steps keep it so."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.cluster import KMeans
from torch import nn

from alexnet.network.model import build, skeleton
from alexnet.network.variants import variant
from alexnet.training import compression
from alexnet.training.compression import cluster, densities, nearest, pruned, shared, weights_of
from alexnet.training.recipes import recipe
from alexnet.training.retraining import GENTLE, gentle
from alexnet.weights.coded import Coded

KEPT = {"conv1.weight": 0.8, "conv2.weight": 0.5, "conv3.weight": 0.4, "fc4.weight": 0.1, "fc5.weight": 0.25}


@pytest.fixture
def lenet() -> nn.Sequential:
    return build("lenet-5", classes=7, seed=3)


def inertia(values: np.ndarray, centres: np.ndarray) -> float:
    return float(np.square(values - centres[nearest(values, centres)]).sum())


@pytest.mark.parametrize("count", [2, 8, 32])
def test_centres_are_as_good_as_scikit_learns(count: int) -> None:
    values = np.random.default_rng(count).laplace(size=2_000).astype(np.float32)
    start = np.linspace(values.min(), values.max(), count)[:, None]
    theirs = KMeans(count, init=start, n_init=1, max_iter=compression.ROUNDS).fit(values[:, None])
    assert inertia(values, cluster(values, count)) <= 1.01 * theirs.inertia_


@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(-9, 9, width=32)), st.integers(1, 9))
def test_every_value_goes_to_its_nearest_centre(values: np.ndarray, count: int) -> None:
    centres = cluster(values, count)
    assert 1 <= len(centres) <= count and np.isfinite(centres).all() and (np.diff(centres) >= 0).all()
    distances = np.abs(values[:, None].astype(np.float64) - centres)
    chosen = distances[np.arange(len(values)), nearest(values, centres)]
    np.testing.assert_allclose(chosen, distances.min(1), atol=1e-6)


def test_few_distinct_values_stay_as_they_are() -> None:
    values = np.repeat(np.float32([-2, 0.5, 3]), [4, 1, 9])
    centres = cluster(values, 32)
    np.testing.assert_allclose(centres[nearest(values, centres)], values, rtol=1e-6)


def test_the_largest_weights_stay(lenet: nn.Sequential) -> None:
    before = {name: weight.detach().clone() for name, weight in weights_of(lenet).items()}
    pruned(lenet, KEPT)
    for name, weight in weights_of(lenet).items():
        stays = weight != 0
        assert stays.float().mean().item() == pytest.approx(KEPT[name], abs=2 / weight.numel())
        assert torch.equal(weight[stays], before[name][stays])
        assert before[name][stays].abs().min() >= before[name][~stays].abs().max()


@pytest.mark.parametrize("share", [1e-9, 1.0])
def test_all_of_a_layer_or_one_value_of_it(lenet: nn.Sequential, share: float) -> None:
    pruned(lenet, dict.fromkeys(KEPT, share))
    for weight in weights_of(lenet).values():
        assert int((weight != 0).sum()) == (weight.numel() if share == 1 else 1)


def test_what_was_pruned_stays_so_through_a_step(lenet: nn.Sequential) -> None:
    constraint = pruned(lenet, KEPT)
    zeros = {name: weight == 0 for name, weight in weights_of(lenet).items()}
    optimizer = torch.optim.AdamW(lenet.parameters(), lr=0.1)
    lenet(torch.randn(4, 1, 32, 32)).square().sum().backward()
    optimizer.step()
    assert any((weight[zeros[name]] != 0).any() for name, weight in weights_of(lenet).items())
    constraint.hold()
    for name, weight in weights_of(lenet).items():
        assert torch.equal(weight == 0, zeros[name])


def test_shared_values_move_by_the_mean_of_their_gradients(lenet: nn.Sequential) -> None:
    """One step of plain descent from shared values, worked out group by group."""
    pruned(lenet, KEPT)
    constraint = shared(lenet)
    coded = constraint.coded()
    before = {name: weight.detach().clone() for name, weight in weights_of(lenet).items()}
    torch.manual_seed(0)
    lenet(torch.randn(4, 1, 32, 32)).square().sum().backward()
    torch.optim.SGD(lenet.parameters(), lr=0.1).step()
    constraint.hold()
    for name, weight in weights_of(lenet).items():
        assert isinstance(weight.grad, torch.Tensor)
        gradient, expected = weight.grad.flatten().numpy(), before[name].flatten().numpy().copy()
        for code in np.unique(coded[name].codes):
            group = coded[name].places[coded[name].codes == code]
            expected[group] -= 0.1 * gradient[group].mean()
        np.testing.assert_allclose(weight.detach().flatten().numpy(), expected, atol=1e-5)


def test_what_is_stored_is_what_computes(lenet: nn.Sequential) -> None:
    pruned(lenet, KEPT)
    for name, coded in shared(lenet).coded().items():
        weight = lenet.get_parameter(name).detach().numpy()
        assert len(np.unique(weight)) <= 1 + compression.VALUES["conv" if weight.ndim > 2 else "linear"]
        np.testing.assert_array_equal(coded.dense(), weight)


@pytest.mark.parametrize("name", ["krizhevsky-2012", "batch-norm", "torchvision"])
@pytest.mark.parametrize("ratio", [10, 35, 100])
def test_as_many_times_smaller_as_asked(name: str, ratio: float) -> None:
    """Normal values in the network's shapes, pruned and shared as `densities` says, come to about the bytes it
    promises. A sixteenth of the rows stands for all of them."""
    network = skeleton(variant(name, classes=2))
    kept = densities(network, ratio)
    rng, total = np.random.default_rng(0), 0.0
    for key, tensor in network.state_dict().items():
        if key not in kept:
            total += 4 * tensor.numel()
            continue
        rows = max(1, tensor.shape[0] // 16)
        values = rng.normal(size=(rows, tensor[0].numel())).astype(np.float32).flatten()
        places = np.flatnonzero(np.abs(values) >= np.quantile(np.abs(values), 1 - kept[key]))
        centres = cluster(values[places], compression.VALUES["conv" if tensor.dim() > 2 else "linear"])
        coded = Coded((len(values),), places, nearest(values[places], centres).astype(np.uint8), centres)
        total += sum(part.nbytes for part in coded.parts().values()) * tensor.shape[0] / rows
    weights = 4 * sum(tensor.numel() for tensor in network.state_dict().values())
    assert weights / total == pytest.approx(ratio, rel=0.1)


def test_a_gentle_recipe_is_the_models_own_but_slower() -> None:
    from alexnet.training.recipe import to_json

    found = gentle({"recipe": to_json(recipe("krizhevsky-2012"))}, 3)
    own = recipe("krizhevsky-2012")
    assert (found.epochs, found.views, found.update, found.batch_size) == (3, own.views, own.update, own.batch_size)
    assert found.learning_rate == pytest.approx(GENTLE * own.learning_rate)
    assert gentle({}, 2).name == recipe("fast").name
    unknown = to_json(recipe("fast")) | {"schedule": "of another version"}
    assert gentle({"recipe": unknown}, 2).schedule == "one-cycle"
    watching = gentle({"recipe": to_json(recipe("le"))}, 2)
    assert watching.watch == "validation"  # there may be no test part
