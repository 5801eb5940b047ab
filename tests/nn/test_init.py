"""Initial values: bounds and moments of every distribution, and of every layer's, as torch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from minigen.nn import init

SHAPE = (300, 200)  # 60,000 draws: a standard error is 0.4 % of the standard deviation


def drawn(fill: Callable, *args: Any, shape: tuple = SHAPE, **options: Any) -> np.ndarray:
    minigen.manual_seed(1)
    tensor = minigen.empty(*shape)
    assert fill(tensor, *args, **options) is tensor
    return tensor.numpy().astype(np.float64)


def assert_uniform(values: np.ndarray, low: float, high: float) -> None:
    """Within the bounds, near both of them, and with the moments up to the fourth."""
    assert low <= values.min()
    assert values.max() <= high
    width, n = high - low, values.size
    assert min(values.min() - low, high - values.max()) < 20 * width / n
    unit = (values - low) / width
    for power in (1, 2, 4):
        spread = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2)
        assert abs((unit**power).mean() - 1 / (power + 1)) < 5 * spread / math.sqrt(n)


def assert_normal(values: np.ndarray, mean: float, std: float) -> None:
    unit, n = ((values - mean) / std).ravel(), values.size
    assert abs(unit.mean()) < 5 / math.sqrt(n)
    assert abs((unit**2).mean() - 1) < 5 * math.sqrt(2 / n)
    assert abs((unit**4).mean() - 3) < 5 * math.sqrt(96 / n)
    assert abs((np.abs(unit) < 1).mean() - 0.6827) < 5 * math.sqrt(0.22 / n)


def test_uniform_and_normal() -> None:
    assert_uniform(drawn(init.uniform_), 0, 1)
    assert_uniform(drawn(init.uniform_, -3.0, 5.0), -3, 5)
    assert_normal(drawn(init.normal_), 0, 1)
    assert_normal(drawn(init.normal_, 2.0, 0.02), 2, 0.02)
    for bad in (lambda t: init.uniform_(t, 1.0, 0.0), lambda t: init.normal_(t, std=-1.0)):
        with pytest.raises(ValueError, match="expects"):
            bad(minigen.empty(2))
    with pytest.raises(TypeError, match="floating-point"):
        init.normal_(minigen.zeros(2, dtype=minigen.int64))


def test_constants() -> None:
    assert (drawn(init.constant_, 0.3) == np.float32(0.3)).all()
    assert (drawn(init.ones_) == 1).all()
    assert (drawn(init.zeros_) == 0).all()
    np.testing.assert_array_equal(drawn(init.eye_, shape=(2, 3)), np.eye(2, 3))
    with pytest.raises(ValueError, match="only matrices"):
        init.eye_(minigen.empty(2))


@pytest.mark.parametrize("shape", [(300, 200), (100, 40, 5, 3)])
def test_xavier_and_kaiming_scale_with_the_fan(shape: tuple) -> None:
    field = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * field, shape[0] * field
    bound = 1.5 * math.sqrt(6 / (fan_in + fan_out))
    assert_uniform(drawn(init.xavier_uniform_, 1.5, shape=shape), -bound, bound)
    assert_normal(
        drawn(init.xavier_normal_, 1.5, shape=shape), 0, 1.5 * math.sqrt(2 / (fan_in + fan_out))
    )
    bound = math.sqrt(6 / fan_in)
    assert_uniform(drawn(init.kaiming_uniform_, nonlinearity="relu", shape=shape), -bound, bound)
    std = math.sqrt(2 / (1 + 0.2**2)) / math.sqrt(fan_out)
    assert_normal(drawn(init.kaiming_normal_, 0.2, "fan_out", shape=shape), 0, std)


def test_fans_and_gains_agree_with_torch() -> None:
    names = ["linear", "sigmoid", "tanh", "relu", "selu", "leaky_relu", "conv2d", "conv1d"]
    for name in names:
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in (0.2, 0, 3):
        ours = init.calculate_gain("leaky_relu", slope)
        assert ours == torch.nn.init.calculate_gain("leaky_relu", slope)
    for bad in (("swish", None), ("leaky_relu", True), ("leaky_relu", "0.1")):
        for module in (init, torch.nn.init):
            with pytest.raises(ValueError):
                module.calculate_gain(*bad)
    with pytest.raises(ValueError, match="2 dimensions"):
        init.xavier_normal_(minigen.empty(3))
    with pytest.raises(ValueError, match="fan_avg"):
        init.kaiming_normal_(minigen.empty(3, 3), mode="fan_avg")


def test_trunc_normal_is_the_conditional_distribution() -> None:
    values = drawn(init.trunc_normal_, 1.0, 2.0, 0.0, 2.0)
    assert values.min() >= 0
    assert values.max() <= 2
    theirs = torch.nn.init.trunc_normal_(
        torch.empty(SHAPE), 1.0, 2.0, 0.0, 2.0, generator=torch.Generator().manual_seed(0)
    )
    edges = np.linspace(0, 2, 21)
    ours, expected = (np.histogram(v, edges)[0] / values.size for v in (values, theirs.numpy()))
    assert np.abs(ours - expected).max() < 5 * math.sqrt(2 * 0.05 / values.size)
    assert abs(values.mean() - 1) < 5 * 0.57 / math.sqrt(values.size)
    for bad in ((0.0, 1.0, 5.0, 6.0), (0.0, 0.0, -1.0, 1.0), (0.0, 1.0, 1.0, -1.0)):
        with pytest.raises(ValueError, match="trunc_normal_"):
            init.trunc_normal_(minigen.empty(2), *bad)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (8, 2, 3, 3), (5, 5)])
def test_orthogonal(shape: tuple) -> None:
    tensor = minigen.empty(*shape, dtype=minigen.float64)
    init.orthogonal_(tensor, gain=3.0)
    matrix = tensor.numpy().reshape(shape[0], -1) / 3
    gram = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
    with pytest.raises(ValueError, match="2 dimensions"):
        init.orthogonal_(minigen.empty(3))


def test_orthogonal_is_uniformly_distributed() -> None:
    """Haar measure: both determinants are equally frequent, every entry has mean 0."""
    minigen.manual_seed(0)
    draws = [init.orthogonal_(minigen.empty(3, 3)).numpy() for _ in range(500)]
    assert 200 < sum(np.linalg.det(q) > 0 for q in draws) < 300
    assert np.abs(np.mean(draws, axis=0)).max() < 5 / math.sqrt(3 * 500)


def test_a_parameter_is_overwritten_unrecorded_and_the_change_is_noticed() -> None:
    weight = nn.Parameter(minigen.zeros(3))
    x = minigen.ones(3, requires_grad=True)
    y = (x * weight).sum()
    init.ones_(weight)
    assert weight.is_leaf
    assert weight.requires_grad
    assert (weight.array == 1).all()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_the_seed_and_the_generator_decide() -> None:
    first, second = drawn(init.normal_), drawn(init.normal_)
    np.testing.assert_array_equal(first, second)
    a, b = (
        init.normal_(minigen.empty(4), generator=minigen.Generator().manual_seed(3))
        for _ in range(2)
    )
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    c = init.normal_(minigen.empty(4), generator=minigen.Generator().manual_seed(4))
    assert not np.array_equal(a.numpy(), c.numpy())
    half = init.normal_(minigen.empty(50, dtype=minigen.float16))
    assert half.dtype is minigen.float16
    assert np.isfinite(half.numpy()).all()


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda n: n.Linear(400, 300), 400),
        (lambda n: n.Conv1d(60, 100, 5), 300),
        (lambda n: n.Conv2d(20, 100, (3, 5), groups=2), 150),
        (lambda n: n.ConvTranspose1d(100, 60, 5), 300),
        (lambda n: n.ConvTranspose2d(100, 40, 3, groups=2), 180),
    ],
)
def test_linear_layers_start_from_torchs_distribution(layer: Callable, fan_in: int) -> None:
    minigen.manual_seed(2)
    ours, theirs = layer(nn), layer(torch.nn)
    bound = 1 / math.sqrt(fan_in)
    assert_uniform(ours.weight.detach().numpy().astype(np.float64), -bound, bound)
    for parameter in (ours.bias, theirs.bias):
        values = parameter.detach().numpy()
        assert bound / 2 < np.abs(values).max() <= bound
    assert abs(theirs.weight.abs().max().item() - bound) < 1e-3 * bound, "torch has that bound too"


def test_other_layers_start_from_torchs_values() -> None:
    assert_normal(nn.Embedding(300, 200).weight.detach().numpy(), 0, 1)
    table = nn.Embedding(10, 4, padding_idx=-2)
    assert table.padding_idx == 8
    assert not table.weight[8].detach().numpy().any()
    for name, args in (
        ("BatchNorm1d", (3,)), ("LayerNorm", (4,)), ("GroupNorm", (2, 4)), ("RMSNorm", (3,)),
        ("PReLU", (2, 0.3)), ("BatchNorm2d", (2,)),
    ):  # fmt: skip
        ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
        for key, value in theirs.state_dict().items():
            np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())


def test_running_statistics_can_be_reset() -> None:
    layer = nn.BatchNorm1d(2)
    layer(minigen.tensor([[1.0, 2.0], [3.0, 5.0]]))
    assert layer.num_batches_tracked.item() == 1
    layer.reset_running_stats()
    assert layer.running_mean.tolist() == [0.0, 0.0]
    assert layer.running_var.tolist() == [1.0, 1.0]
    assert layer.num_batches_tracked.item() == 0


def test_layers_without_features_can_be_made() -> None:
    assert nn.Linear(0, 3)(minigen.zeros(2, 0)).shape == (2, 3)
    assert nn.Linear(3, 0)(minigen.zeros(2, 3)).shape == (2, 0)


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("shape", [(6, 2, 3), (6, 4, 3, 4), (6, 1, 1, 2, 3), (6, 9, 5)])
def test_dirac_is_that_of_torch(shape: tuple, groups: int) -> None:
    ours = init.dirac_(minigen.ones(*shape, dtype=minigen.float64), groups)
    theirs = torch.nn.init.dirac_(torch.ones(*shape, dtype=torch.float64), groups)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_dirac_hands_channels_on() -> None:
    layer = minigen.nn.Conv2d(2, 3, 3, padding=1, bias=False)
    init.dirac_(layer.weight)
    x = minigen.randn(1, 2, 4, 4)
    y = layer(x).detach().numpy()
    np.testing.assert_allclose(y[:, :2], x.numpy(), rtol=1e-6)
    assert (y[:, 2] == 0).all()
    with pytest.raises(ValueError, match="3 to 5 dimensions"):
        init.dirac_(minigen.ones(2, 2))
    with pytest.raises(ValueError, match="2 groups do not divide 3"):
        init.dirac_(minigen.ones(3, 2, 1), 2)


@pytest.mark.parametrize("sparsity", [0.0, 0.11, 0.5, 1.0])
def test_sparse(sparsity: float) -> None:
    w = init.sparse_(minigen.ones(200, 50), sparsity, std=0.5).numpy()
    assert ((w == 0).sum(0) == math.ceil(sparsity * 200)).all()
    kept = w[w != 0]
    if kept.size:
        assert abs(kept.std() - 0.5) < 0.03
        assert len({tuple(np.flatnonzero(w[:, i])) for i in range(50)}) == (50 if sparsity else 1)
    again = [init.sparse_(minigen.empty(9, 3), 0.5, generator=g).tolist() for g in (
        minigen.Generator().manual_seed(1), minigen.Generator().manual_seed(1))]  # fmt: skip
    assert again[0] == again[1]
    with pytest.raises(ValueError, match="only matrices"):
        init.sparse_(minigen.ones(2, 2, 2), 0.5)
