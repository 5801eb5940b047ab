"""Every loss module against torch: values, gradients, reductions, weights that move along."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import minigen
from minigen import nn
from tests.oracle import check, close

rng = np.random.default_rng(0)
real, other, third = (rng.standard_normal((4, 3)) for _ in range(3))
chances, certain = rng.uniform(0.1, 0.9, (4, 3)), rng.uniform(0.1, 0.9, (4, 3))
logs = np.log(chances)
signs, sign = rng.choice([-1.0, 1.0], (4, 3)), rng.choice([-1, 1], 4)
classes = np.array([2, 0, 1, 2])
spread = rng.uniform(0.5, 2, (4, 3))
weight = np.array([0.5, 2.0, 1.0])

CASES: list[tuple[str, dict[str, Any], tuple]] = [
    ("L1Loss", {}, (real, other)),
    ("MSELoss", {}, (real, other)),
    ("HuberLoss", {"delta": 0.5}, (real, other)),
    ("SmoothL1Loss", {"beta": 0.5}, (real, other)),
    ("BCELoss", {}, (chances, certain)),
    ("BCELoss", {"weight": weight}, (chances, certain)),
    ("BCEWithLogitsLoss", {}, (real, certain)),
    ("BCEWithLogitsLoss", {"pos_weight": weight, "weight": spread}, (real, certain)),
    ("NLLLoss", {"weight": weight, "ignore_index": 0}, (logs, classes)),
    ("CrossEntropyLoss", {}, (real, classes)),
    ("CrossEntropyLoss", {"weight": weight, "label_smoothing": 0.1}, (real, classes)),
    ("CrossEntropyLoss", {"ignore_index": 2}, (real, classes)),
    ("KLDivLoss", {}, (logs, certain)),
    ("KLDivLoss", {"log_target": True}, (logs, np.log(certain))),
    ("GaussianNLLLoss", {"full": True}, (real, other, spread)),
    ("PoissonNLLLoss", {}, (real, certain)),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 0.1}, (chances, 3 * certain)),
    ("SoftMarginLoss", {}, (real, signs)),
    ("MultiLabelSoftMarginLoss", {}, (real, certain)),
    ("MultiLabelSoftMarginLoss", {"weight": weight}, (real, certain)),
    ("MultiMarginLoss", {}, (real, classes)),
    ("MultiMarginLoss", {"p": 2, "margin": 0.7, "weight": weight}, (real, classes)),
    ("HingeEmbeddingLoss", {"margin": 0.5}, (real, signs)),
    ("HingeEmbeddingLoss", {}, (real, signs)),
    ("MarginRankingLoss", {"margin": 0.3}, (real, other, signs)),
    ("CosineEmbeddingLoss", {"margin": 0.2}, (real, other, sign)),
    ("TripletMarginLoss", {"margin": 0.8, "swap": True}, (real, other, third)),
]


@pytest.mark.filterwarnings("ignore:.*reduction.* 'mean' divides")  # the advice on KLDivLoss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "inputs"), CASES)
def test_loss(name: str, options: dict, inputs: tuple, reduction: str) -> None:
    def build(module: Any, tensor: Any) -> Any:
        given = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        return getattr(module, name)(reduction=reduction, **given).double()

    ours, theirs = build(nn, minigen.from_numpy), build(torch.nn, torch.from_numpy)
    assert repr(ours) == repr(theirs) == f"{name}()"
    assert list(ours.state_dict()) == list(theirs.state_dict())
    if inputs[1].dtype == np.float64:  # targets are compared, not differentiated
        constant = inputs[1:] if name != "TripletMarginLoss" else ()
        free = inputs[: len(inputs) - len(constant)]
        check(
            lambda *t: ours(*t, *(minigen.from_numpy(c) for c in constant)),
            lambda *t: theirs(*t, *(torch.from_numpy(c) for c in constant)),
            *free,
            order=1,
        )
    else:
        check(ours, theirs, *inputs, order=1)


def test_batchmean_of_kl_div() -> None:
    ours = nn.KLDivLoss(reduction="batchmean")(*map(minigen.from_numpy, (logs, certain)))
    theirs = torch.nn.KLDivLoss(reduction="batchmean")(*map(torch.from_numpy, (logs, certain)))
    close(ours, theirs, 1e-12, "batchmean")


def test_a_weight_is_a_buffer() -> None:
    loss = nn.CrossEntropyLoss(weight=minigen.ones(3))
    assert list(loss.state_dict()) == ["weight"]
    assert loss.double().weight.dtype is minigen.float64
    assert list(loss.parameters()) == []


def test_an_unknown_reduction_is_rejected() -> None:
    with pytest.raises(ValueError, match="reduction must be"):
        nn.MSELoss(reduction="average")
