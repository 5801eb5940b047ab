"""The U-Net against torch's, guidance against its formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch_diffusion import TorchUNet
from twins import copy_weights

import minigen
from minigen.models.denoiser import DenoiserConfig, UNet, time_embedding
from minigen.models.guidance import guided, hide_classes

SMALL = {"size": 8, "widths": (4, 6), "groups": 2, "time": 8, "classes": 3}
rng = np.random.default_rng(0)


def shaken(config: DenoiserConfig) -> UNet:
    """In float64, with none of the zeros that its residual branches begin with."""
    minigen.manual_seed(0)
    model = UNet(config).double()
    with minigen.no_grad():
        for p in model.parameters():
            p.data = p.data + 0.3 * minigen.randn(*p.shape, dtype=p.dtype)
    return model


@pytest.mark.parametrize("change", [{}, {"channels": 3, "patch": 1}])
def test_values_and_gradients_equal_torch(change: dict) -> None:
    config = {**SMALL, **change}
    ours, theirs = shaken(DenoiserConfig(**config)), TorchUNet(**config)
    copy_weights(ours, theirs)
    x, g = rng.normal(size=(2, 4, config.get("channels", 1), 8, 8))
    t, y = rng.uniform(size=4), np.array([0, 2, 3, 1])
    x_ours = minigen.from_numpy(x).requires_grad_()
    x_theirs = torch.from_numpy(x).requires_grad_()
    made = ours(x_ours, minigen.from_numpy(t), minigen.from_numpy(y))
    other = theirs(x_theirs, torch.from_numpy(t), torch.from_numpy(y))
    np.testing.assert_allclose(made.detach().numpy(), other.detach().numpy(), rtol=1e-8, atol=1e-10)
    made.backward(minigen.from_numpy(g))
    other.backward(torch.from_numpy(g))
    np.testing.assert_allclose(x_ours.grad.numpy(), x_theirs.grad.numpy(), rtol=1e-8, atol=1e-9)
    expected = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(
            p.grad.numpy(), expected[name].grad.numpy(), rtol=1e-8, atol=1e-8, err_msg=name
        )


def test_times_are_embedded_by_their_definition() -> None:
    """cos and sin of 1000 t / 10000^(i / half)."""
    found = time_embedding(minigen.tensor([0.25, 1.0], dtype=minigen.float64), 6).numpy()
    for row, t in zip(found, (0.25, 1.0)):
        angles = [1000 * t / 10_000 ** (i / 3) for i in range(3)]
        assert row == pytest.approx([*map(math.cos, angles), *map(math.sin, angles)], rel=1e-9)


def test_it_begins_with_zeros_and_has_the_size_it_says() -> None:
    model = UNet()
    x = minigen.randn(2, 1, 28, 28)
    assert (model(x, minigen.rand(2)).detach().numpy() == 0).all()
    assert sum(p.numel() for p in model.parameters()) == 301_669


def test_no_class_is_a_class_of_its_own() -> None:
    model = shaken(DenoiserConfig(**SMALL))
    x, t = minigen.from_numpy(rng.normal(size=(1, 1, 8, 8))), minigen.tensor([0.5]).double()
    answers = [model(x, t, minigen.tensor([y])).detach().numpy() for y in range(4)]
    np.testing.assert_array_equal(model(x, t).detach().numpy(), answers[3])
    for y in range(3):
        assert np.abs(answers[y] - answers[3]).max() > 1e-3


def test_sizes_that_cannot_be_halved_and_widths_that_cannot_be_grouped_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        DenoiserConfig(size=30)
    with pytest.raises(ValueError, match="groups, 8"):
        DenoiserConfig(widths=(32, 60))


@pytest.mark.parametrize("w", [-1.0, 0.0, 0.5, 3.0])
def test_guidance_is_equation_6(w: float) -> None:
    model = shaken(DenoiserConfig(**SMALL))
    x, t = (
        minigen.from_numpy(rng.normal(size=(5, 1, 8, 8))),
        minigen.from_numpy(rng.uniform(size=5)),
    )
    y = minigen.tensor([0, 1, 2, 0, 1])
    asked = [0]

    def counted(*arguments):
        asked[0] += 1
        return model(*arguments)

    found = guided(counted, w, 3)(x, t, y).detach().numpy()
    assert asked == [1]  # both answers in one batch
    expected = (1 + w) * model(x, t, y) - w * model(x, t, minigen.full((5,), 3))
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_some_classes_are_hidden() -> None:
    y = minigen.arange(10_000) % 10
    hidden = hide_classes(y, 0.1, 10, minigen.Generator().manual_seed(0)).numpy()
    assert abs((hidden == 10).mean() - 0.1) < 0.01
    assert (hidden[hidden != 10] == y.numpy()[hidden != 10]).all()
    assert (y.numpy() < 10).all()  # what was given stays
