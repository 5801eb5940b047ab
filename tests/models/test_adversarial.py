"""Attacks: what they are by definition, where the best one is known, and against torch's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from twins import copy_weights

import minigen
from minigen import Generator, nn
from minigen.models.adversarial import fgsm, input_gradient, pgd, project

NORMS = [math.inf, 2]
rng = np.random.default_rng(0)


def networks() -> tuple[nn.Module, torch.nn.Module]:
    """One convolutional classifier of 6 x 6 pictures in both, float64."""
    minigen.manual_seed(1)
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(108, 4)]
    ours = nn.Sequential(*layers).double()
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3, padding=1),
        torch.nn.Tanh(),
        torch.nn.Flatten(),
        torch.nn.Linear(108, 4),
    )
    copy_weights(ours, theirs)
    return ours, theirs


def pictures(n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((n, 1, 6, 6)), rng.integers(0, 4, n)


def torch_pgd(model, x, y, eps, alpha, steps, norm, targeted):
    """Written the other way round: the change is what is kept."""
    delta = torch.zeros_like(x)
    for _ in range(steps):
        delta.requires_grad_()
        loss = F.cross_entropy(model(x + delta), y)
        (g,) = torch.autograd.grad(-loss if targeted else loss, delta)
        with torch.no_grad():
            if norm == 2:
                delta = delta + alpha * g / g.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
                delta = torch.where(length > eps, delta * eps / length, delta)
            else:
                delta = (delta + alpha * g.sign()).clamp(-eps, eps)
            delta = (x + delta).clamp(0, 1) - x
    return x + delta


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_both_attacks_equal_torch(norm: float, targeted: bool) -> None:
    ours, theirs = networks()
    x, y = pictures()
    eps = 0.2 if norm == math.inf else 1.5
    tensors = minigen.from_numpy(x), minigen.from_numpy(y)
    torchs = torch.from_numpy(x), torch.from_numpy(y)
    fast = fgsm(ours, *tensors, eps, norm=norm, targeted=targeted)
    expected = torch_pgd(theirs, *torchs, eps, eps, 1, norm, targeted)
    np.testing.assert_allclose(fast.numpy(), expected.numpy(), atol=1e-10)
    slow = pgd(
        ours, *tensors, eps, steps=7, step_size=eps / 4, norm=norm, targeted=targeted,
        random_start=False,
    )  # fmt: skip
    expected = torch_pgd(theirs, *torchs, eps, eps / 4, 7, norm, targeted)
    np.testing.assert_allclose(slow.numpy(), expected.numpy(), atol=1e-10)
    assert (slow.numpy() != fast.numpy()).any()
    assert all(p.grad is None for p in ours.parameters())


@settings(max_examples=40, deadline=None)
@given(
    eps=st.floats(0, 3), norm=st.sampled_from(NORMS), steps=st.integers(1, 4),
    seed=st.integers(0, 99), targeted=st.booleans(), start=st.booleans(),
)  # fmt: skip
def test_an_attack_stays_in_the_ball_and_in_bounds(eps, norm, steps, seed, targeted, start) -> None:
    model, _ = networks()
    drawn = np.random.default_rng(seed)
    x = drawn.uniform(-1, 2, (3, 1, 6, 6))
    y = minigen.from_numpy(drawn.integers(0, 4, 3))
    more = {"norm": norm, "targeted": targeted, "bounds": (-1.0, 2.0)}
    attacks = [
        fgsm(model, minigen.from_numpy(x), y, eps, **more),
        pgd(
            model, minigen.from_numpy(x), y, eps, steps=steps, random_start=start,
            generator=Generator().manual_seed(seed), **more,
        ),
    ]  # fmt: skip
    for attacked in attacks:
        change = (attacked.numpy() - x).reshape(3, -1)
        size = np.abs(change).max(1) if norm == math.inf else np.sqrt((change**2).sum(1))
        assert size.max() <= eps + 1e-9
        assert attacked.numpy().min() >= -1
        assert attacked.numpy().max() <= 2


@pytest.mark.parametrize("norm", NORMS)
def test_of_a_linear_classifier_both_find_the_best_attack(norm: float) -> None:
    """Logits 0 and w.x: the loss rises with -w.x where the class is 1, at most by eps |w|_1 or
    eps |w|_2, and no attack of that size can do more."""
    w = np.array([3.0, -1.0, 0.5, 2.0])
    model = lambda x: x @ minigen.from_numpy(np.stack([0 * w, w], axis=1))  # noqa: E731
    x = minigen.from_numpy(np.full((1, 4), 0.5))
    y = minigen.tensor([1])
    dual = np.abs(w).sum() if norm == math.inf else np.sqrt((w**2).sum())
    many = {"steps": 20, "step_size": 1.0}  # steps ten times the ball: its rim is soon reached
    for attack, more in ((fgsm, {}), (pgd, many)):
        attacked = attack(model, x, y, 0.1, norm=norm, **more)
        assert (w @ (x - attacked).numpy()[0]) == pytest.approx(0.1 * dual, rel=1e-9)


def test_a_target_is_approached_and_the_truth_is_left() -> None:
    model, _ = networks()
    x, y = (minigen.from_numpy(a) for a in pictures(8))
    loss = lambda images, labels: F.cross_entropy(  # noqa: E731
        torch.from_numpy(model(images).detach().numpy()), torch.from_numpy(labels.numpy())
    ).item()
    target = (y + 1) % 4
    assert loss(pgd(model, x, target, 0.1, targeted=True), target) < loss(x, target)
    assert loss(pgd(model, x, y, 0.1), y) > loss(fgsm(model, x, y, 0.1), y) > loss(x, y)


def test_a_picture_is_attacked_for_itself_whatever_its_neighbours() -> None:
    model, _ = networks()
    x, y = (minigen.from_numpy(a) for a in pictures(4))
    whole = input_gradient(model, x, y)
    for i in range(4):
        alone = input_gradient(model, x[i : i + 1], y[i : i + 1])
        np.testing.assert_allclose(whole[i].numpy(), alone[0].numpy(), rtol=1e-9, atol=1e-12)


def test_starts_fill_the_ball_evenly_and_follow_the_seed() -> None:
    """Of d = 2 pixels, a quarter of the starts lies in the inner half of the radius."""
    flat = lambda x: x.sum(dim=1, keepdim=True) * minigen.zeros(1, 2, dtype=x.dtype)  # noqa: E731
    x = minigen.zeros(4000, 2, dtype=minigen.float64)
    y = minigen.zeros(4000, dtype=minigen.int64)
    for norm in NORMS:
        more = {"steps": 1, "norm": norm, "bounds": (-9.0, 9.0)}
        first = pgd(flat, x, y, 1.0, generator=Generator().manual_seed(3), **more).numpy()
        again = pgd(flat, x, y, 1.0, generator=Generator().manual_seed(3), **more).numpy()
        np.testing.assert_array_equal(first, again)
        size = np.abs(first).max(1) if norm == math.inf else np.sqrt((first**2).sum(1))
        assert abs((size < 0.5).mean() - 0.25) < 0.03
        assert abs(first.mean()) < 0.05


def test_a_flat_loss_gives_no_direction_and_no_nan() -> None:
    flat = lambda x: x.sum(dim=1, keepdim=True) * minigen.zeros(1, 2)  # noqa: E731
    x = minigen.rand(3, 5)
    for norm in NORMS:
        attacked = fgsm(flat, x, minigen.tensor([0, 1, 0]), 0.1, norm=norm)
        np.testing.assert_array_equal(attacked.numpy(), x.numpy())


def test_a_change_in_the_ball_is_left_as_it_is() -> None:
    change = minigen.tensor([[0.0, 0.0], [0.3, -0.4], [6.0, -8.0]])
    np.testing.assert_allclose(
        project(change, 1.0, 2).numpy(), [[0, 0], [0.3, -0.4], [0.6, -0.8]], rtol=1e-6
    )
    assert (project(change, 0.0, 2).numpy() == 0).all()


def test_bad_input_is_refused_by_name() -> None:
    model, _ = networks()
    x, y = (minigen.from_numpy(a) for a in pictures(2))
    broken = x.clone()
    broken[1, 0, 2, 2] = math.nan
    for arguments, message in (
        ((broken, y, 0.1), "picture 1 holds NaN"),
        ((x * 255, y, 0.1), "out of bounds 0 to 1"),
        ((x, y[:1], 0.1), "a label for each"),
        ((x, y, -0.1), "eps must be 0 or more"),
        ((x, y, math.nan), "eps must be 0 or more"),
    ):
        for attack in (fgsm, pgd):
            with pytest.raises(ValueError, match=message):
                attack(model, *arguments)
    with pytest.raises(ValueError, match="norm must be 2 or infinity"):
        fgsm(model, x, y, 0.1, norm=1)
    with pytest.raises(ValueError, match="steps must be 1"):
        pgd(model, x, y, 0.1, steps=0)
    with pytest.raises((ValueError, RuntimeError), match="channel"):
        fgsm(model, minigen.cat([x, x, x], dim=1), y, 0.1)
