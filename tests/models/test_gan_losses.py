"""Adversarial losses: their definitions in probabilities, their fixed points, what they cure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minigen
from minigen import nn
from minigen.models.gan_losses import (
    LOSSES,
    MinibatchStandardDeviation,
    clip_weights,
    discriminator_loss,
    feature_matching_loss,
    gradient_penalty,
    mode_seeking_loss,
    packed,
    r1_penalty,
)
from minigen.testing import gradcheck

rng = np.random.default_rng(0)
REAL, FAKE = (rng.normal(size=(7, 1)) * 2 for _ in range(2))


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


D_REAL, D_FAKE = sigmoid(REAL), sigmoid(FAKE)
CROSS_ENTROPY = -(np.log(D_REAL).mean() + np.log(1 - D_FAKE).mean()) / 2
DEFINED = {
    "minimax": (CROSS_ENTROPY, np.log(1 - D_FAKE).mean()),
    "non_saturating": (CROSS_ENTROPY, -np.log(D_FAKE).mean()),
    "least_squares": (
        ((REAL - 1) ** 2).mean() / 2 + (FAKE**2).mean() / 2,
        ((FAKE - 1) ** 2).mean() / 2,
    ),
    "hinge": (
        np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean(),
        -FAKE.mean(),
    ),
    "wasserstein": (FAKE.mean() - REAL.mean(), -FAKE.mean()),
}


def tensor(array: np.ndarray) -> minigen.Tensor:
    return minigen.from_numpy(np.asarray(array, np.float64))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_their_definitions(name: str) -> None:
    loss = LOSSES[name]
    of_d, of_g = DEFINED[name]
    assert loss.discriminator(tensor(REAL), tensor(FAKE)).item() == pytest.approx(of_d, rel=1e-12)
    assert loss.generator(tensor(FAKE)).item() == pytest.approx(of_g, rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_descending_pushes_logits_the_right_way(name: str) -> None:
    """D: real logits up, generated ones down, from 0 (where all of them teach); G: up."""
    real, fake = (minigen.zeros(3, 1, requires_grad=True) for _ in range(2))
    LOSSES[name].discriminator(real, fake).backward()
    assert (real.grad.numpy() < 0).all()
    assert (fake.grad.numpy() >= 0).all()
    assert (fake.grad.numpy() > 0).all() or name == "least_squares"  # whose target is 0
    fake.grad = None
    LOSSES[name].generator(fake).backward()
    assert (fake.grad.numpy() < 0).all()


def test_saturation_is_where_d_is_sure_of_a_fake() -> None:
    """Not where D(x) is near 1: classroom errata E1 and E2."""
    for probability, minimax in ((0.982, 0.98), (0.0003, 0.0003)):
        logit = minigen.tensor([[float(np.log(probability / (1 - probability)))]])
        slopes = {}
        for name in ("minimax", "non_saturating"):
            at = logit.clone().requires_grad_()
            LOSSES[name].generator(at).backward()
            slopes[name] = -at.grad.item()
        assert slopes["minimax"] == pytest.approx(minimax, rel=0.01)
        assert slopes["non_saturating"] == pytest.approx(1 - probability, rel=0.01)


def test_label_smoothing_is_cross_entropy_with_that_label() -> None:
    expected = F.binary_cross_entropy_with_logits(
        torch.tensor(REAL), torch.full((7, 1), 0.9).double()
    )
    expected += F.binary_cross_entropy_with_logits(torch.tensor(FAKE), torch.zeros(7, 1).double())
    ours = discriminator_loss(tensor(REAL), tensor(FAKE), smoothing=0.1)
    assert ours.item() == pytest.approx(expected.item() / 2, rel=1e-7)


def convolutional() -> nn.Module:
    minigen.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, 2, 1, dtype=minigen.float64), nn.Tanh(), nn.Flatten(),
        nn.Linear(12, 1, dtype=minigen.float64),
    )  # fmt: skip


def test_penalties_equal_torchs_through_convolutions() -> None:
    """Values, and gradients for the weights: second derivatives."""
    critic = convolutional()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, 2, 1), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(12, 1)
    ).double()
    theirs.load_state_dict(
        {k: torch.from_numpy(v.numpy().copy()) for k, v in critic.state_dict().items()}
    )
    x, y = rng.normal(size=(5, 1, 4, 4)), rng.normal(size=(5, 1, 4, 4))
    epsilon = rng.random((5, 1, 1, 1))

    def slopes(at: torch.Tensor) -> torch.Tensor:
        at.requires_grad_()
        return torch.autograd.grad(theirs(at).sum(), at, create_graph=True)[0].flatten(1)

    between = torch.tensor(epsilon * x + (1 - epsilon) * y)
    cases = [
        (
            gradient_penalty(critic, tensor(x), tensor(y), tensor(epsilon)),
            ((slopes(between).norm(dim=1) - 1) ** 2).mean(),
        ),
        (r1_penalty(critic, tensor(x)), (slopes(torch.tensor(x)) ** 2).sum(1).mean() / 2),
    ]
    for ours, expected in cases:
        critic.zero_grad()
        theirs.zero_grad()
        assert ours.item() == pytest.approx(expected.item(), rel=1e-10)
        ours.backward()
        expected.backward()
        for a, b in zip(critic.parameters(), theirs.parameters()):
            if b.grad is not None and a.grad is not None:
                np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


def test_the_norm_is_an_images_own() -> None:
    """A critic of slope 1 on 1x8x8 images pays nothing: errata E6 has the norm over one axis."""
    critic = nn.Sequential(nn.Flatten(), nn.Linear(64, 1, bias=False, dtype=minigen.float64))
    weight = rng.normal(size=(1, 64))
    critic[1].weight.data = tensor(weight / np.linalg.norm(weight))
    x, y = (tensor(rng.normal(size=(3, 1, 8, 8))) for _ in range(2))
    epsilon = tensor(rng.random((3, 1, 1, 1)))
    assert gradient_penalty(critic, x, y, epsilon).item() == pytest.approx(0, abs=1e-20)


def test_weights_are_clipped_in_place() -> None:
    critic = convolutional()
    before = [p.detach().numpy().copy() for p in critic.parameters()]
    clip_weights(critic, 0.05)
    for old, new in zip(before, critic.parameters()):
        np.testing.assert_array_equal(new.detach().numpy(), np.clip(old, -0.05, 0.05))


def test_feature_matching_compares_means() -> None:
    a = [rng.normal(size=(6, 3)), rng.normal(size=(6, 2, 2))]
    b = [rng.normal(size=(4, 3)), rng.normal(size=(4, 2, 2))]
    expected = sum(((x.mean(0) - y.mean(0)) ** 2).sum() for x, y in zip(a, b))
    ours = feature_matching_loss(map(tensor, a), map(tensor, b)).item()
    assert ours == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="shorter"):
        feature_matching_loss([tensor(a[0])], [])


def test_mode_seeking_costs_most_where_codes_give_one_picture() -> None:
    z = tensor(rng.normal(size=(5, 4))), tensor(rng.normal(size=(5, 4)))
    one = tensor(np.ones((5, 1, 2, 2)))
    near = mode_seeking_loss(one, one + 0.01, *z).item()
    far = mode_seeking_loss(one, one + 1.0, *z).item()
    assert near == pytest.approx(100 * far, rel=0.01)
    codes = np.abs(z[0].numpy() - z[1].numpy()).mean(1)
    assert far == pytest.approx((codes / (1 + 1e-5)).mean(), rel=1e-12)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_the_minibatch_feature_is_the_mean_deviation(shape: tuple[int, ...]) -> None:
    x = rng.normal(size=shape)
    y = MinibatchStandardDeviation()(tensor(x)).numpy()
    np.testing.assert_array_equal(y[:, :-1], x)
    np.testing.assert_allclose(y[:, -1], x.std(axis=0).mean(), rtol=1e-7)
    same = MinibatchStandardDeviation()(tensor(np.repeat(x[:1], 4, axis=0))).numpy()
    assert (same[:, -1] < 1.1e-4).all()
    assert gradcheck(MinibatchStandardDeviation(), (tensor(x).requires_grad_(),))


def test_packing_keeps_images_of_one_kind_together() -> None:
    x = tensor(np.arange(12.0).reshape(6, 2))
    np.testing.assert_array_equal(packed(x, 2).numpy(), np.arange(12.0).reshape(3, 4))
    with pytest.raises(ValueError, match="6 images cannot be packed by 4"):
        packed(x, 4)


@pytest.mark.parametrize("shape", [(4, 1), (4, 1, 1), (4, 1, 4, 4), (1, 1, 1, 1), (4,)])
def test_the_penalty_mixes_whole_images(shape: tuple[int, ...]) -> None:
    """Four images of 4 x 4 pixels: all these broadcast, and mean something else."""
    images = minigen.zeros(4, 1, 4, 4)
    gradient_penalty(lambda x: x.sum(dim=(1, 2, 3)), images, images, minigen.rand(4, 1, 1, 1))
    with pytest.raises(ValueError, match=r"one number an image, \(4, 1, 1, 1\)"):
        gradient_penalty(lambda x: x.sum(dim=(1, 2, 3)), images, images, minigen.rand(*shape))
    with pytest.raises(ValueError, match="must be of one shape"):
        gradient_penalty(
            lambda x: x.sum(dim=(1, 2, 3)), images, images[:1], minigen.rand(4, 1, 1, 1)
        )
