"""No false alarm in more than 1,000 right gradients: of all specimens and of our own operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigen
from minigen import nn
from minigen.nn import functional as F
from minigen.testing import check_gradients
from tests.testing import mutants_second, mutants_tuned, mutants_unseen
from tests.testing.specimens import Specimen, alike, extent, normal

SPECIMENS = [
    *mutants_tuned.SPECIMENS,
    *mutants_second.SPECIMENS,
    *mutants_unseen.SPECIMENS,
]
SEEDS = 12


def positive(*shape: int) -> Callable[[np.random.Generator], list]:
    return lambda rng: [rng.uniform(0.1, 3.0, shape)]


def classes(rng: np.random.Generator) -> list:
    n, c = extent(rng), extent(rng)
    return [rng.standard_normal((n, c)), rng.integers(0, c, n)]


def scaled(factor: float) -> Callable[[np.random.Generator], list]:
    return lambda rng: [factor * rng.standard_normal((3, 4))]


def heads(rng: np.random.Generator) -> list:
    return [rng.standard_normal((2, 2, extent(rng), 4)) for _ in range(1)] * 3


# minigen's operations, each to the second order
OPERATIONS: dict[str, tuple[Any, Callable[[np.random.Generator], list]]] = {
    "exp": (minigen.exp, normal(2)),
    "exp of large numbers": (minigen.exp, scaled(30.0)),
    "exp of tiny numbers": (minigen.exp, scaled(1e-6)),
    "log": (minigen.log, positive(3, 4)),
    "log of tiny numbers": (minigen.log, lambda rng: [rng.uniform(1e-6, 1e-5, 5)]),
    "sqrt": (minigen.sqrt, positive(5)),
    "rsqrt": (minigen.rsqrt, positive(5)),
    "tanh where it is flat": (minigen.tanh, scaled(20.0)),
    "sigmoid": (minigen.sigmoid, scaled(5.0)),
    "erf": (minigen.erf, normal(2)),
    "lgamma": (minigen.lgamma, positive(6)),
    "pow": (minigen.pow, lambda rng: [rng.uniform(0.3, 2.0, (3, 2)), rng.standard_normal(2)]),
    "division": (minigen.div, lambda rng: [rng.standard_normal((3, 2)), rng.uniform(0.5, 2, 2)]),
    "atan2": (minigen.atan2, alike(2, 2)),
    "prod": (lambda x: minigen.prod(x, 1), normal(2)),
    "cumprod": (lambda x: minigen.cumprod(x, 0), normal(2)),
    "var": (lambda x: minigen.var(x, 1), normal(2)),
    "logsumexp": (lambda x: minigen.logsumexp(x, 0), scaled(10.0)),
    "norm": (lambda x: minigen.norm(x), normal(2)),
    "max along 0": (lambda x: minigen.max(x, 0), normal(2)),
    "sort": (lambda x: minigen.sort(x, 1), normal(2)),
    "einsum": (
        lambda x, y: minigen.einsum("bij,bjk->bk", x, y),
        lambda rng: [rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 4, 3))],
    ),
    "flip and roll": (lambda x: minigen.roll(minigen.flip(x, (0,)), 1, 1), normal(2)),
    "softmax": (lambda x: F.softmax(x, -1), scaled(4.0)),
    "log_softmax": (lambda x: F.log_softmax(x, 0), scaled(4.0)),
    "cross_entropy": (F.cross_entropy, classes),
    "mse_loss": (F.mse_loss, alike(2, 2)),
    "binary_cross_entropy_with_logits": (
        F.binary_cross_entropy_with_logits,
        lambda rng: [rng.standard_normal((3, 4)), rng.uniform(0, 1, (3, 4))],
    ),
    "gelu": (F.gelu, scaled(3.0)),
    "silu": (F.silu, scaled(3.0)),
    "softplus": (F.softplus, scaled(10.0)),
    "relu near its kink": (F.relu, scaled(1e-3)),
    "normalize": (lambda x: F.normalize(x, dim=-1), normal(2)),
    "layer_norm": (lambda x: F.layer_norm(x, x.shape[-1:]), normal(2, low=3)),
    "group_norm": (lambda x: F.group_norm(x, 2), lambda rng: [rng.standard_normal((2, 4, 3))]),
    "conv2d": (
        lambda x, w: F.conv2d(x, w, stride=2, padding=1),
        lambda rng: [rng.standard_normal((2, 2, 5, 4)), rng.standard_normal((3, 2, 3, 2))],
    ),
    "conv_transpose2d": (
        F.conv_transpose2d,
        lambda rng: [rng.standard_normal((1, 2, 3, 3)), rng.standard_normal((2, 2, 2, 2))],
    ),
    "max_pool2d": (
        lambda x: F.max_pool2d(x, 2),
        lambda rng: [rng.standard_normal((1, 2, 4, 4))],
    ),
    "attention": (F.scaled_dot_product_attention, heads),
    "causal attention": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        heads,
    ),
    "embedding": (
        lambda index, weight: F.embedding(index, weight),
        lambda rng: [rng.integers(0, 4, (3, 2)), rng.standard_normal((4, 3))],
    ),
    "a constant": (lambda x: x * 0 + 1, normal(2)),
    "a sum of a million": (lambda x: x + 1e6, normal(2)),
}


def modules(seed: int) -> dict[str, tuple[nn.Module, list]]:
    rng = np.random.default_rng(seed)
    minigen.manual_seed(seed)
    made = {
        "a small perceptron": (
            nn.Sequential(nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 2)),
            [rng.standard_normal((3, 4))],
        ),
        "batch norm in training": (nn.BatchNorm1d(4), [rng.standard_normal((5, 4))]),
        "convolution and norm": (
            nn.Sequential(nn.Conv2d(1, 2, 2), nn.GroupNorm(1, 2), nn.Tanh()),
            [rng.standard_normal((2, 1, 3, 3))],
        ),
        "embedding": (nn.Embedding(4, 3), [rng.integers(0, 4, (2, 3))]),
    }
    return {name: (module.double(), inputs) for name, (module, inputs) in made.items()}


def count() -> int:
    return SEEDS * (len(SPECIMENS) + len(OPERATIONS) + len(modules(0)))


def test_there_are_a_thousand_cases() -> None:
    assert count() >= 1000


@pytest.mark.parametrize("specimen", SPECIMENS, ids=lambda s: s.name)
def test_no_alarm_for_the_right_gradient(specimen: Specimen) -> None:
    for seed in range(SEEDS):
        inputs = specimen.inputs(np.random.default_rng(100 + seed))
        report = check_gradients((specimen.forward, specimen.right), inputs, seed=seed)
        assert report, f"seed {seed}: {report}"


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_alarm_for_an_operation_to_the_second_order(name: str) -> None:
    function, inputs = OPERATIONS[name]
    for seed in range(SEEDS):
        report = check_gradients(function, inputs(np.random.default_rng(seed)), order=2, seed=seed)
        assert report, f"seed {seed}: {report}"
        assert "near" in name or not report.notes, report.notes


@pytest.mark.parametrize("name", modules(0))
def test_no_alarm_for_a_module_to_the_second_order(name: str) -> None:
    for seed in range(SEEDS):
        module, inputs = modules(seed)[name]
        report = check_gradients(module, inputs, order=2, seed=seed)
        assert report, f"seed {seed}: {report}"
