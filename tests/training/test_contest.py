"""The step of the GANs: its rules, and ten steps of each kind beside torch's."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from twins import copy_weights, same_weights

import minigen
from minigen.models.conditional_gan import (
    ConditionalDiscriminator,
    ConditionalGANConfig,
    ConditionalGenerator,
)
from minigen.models.gan_losses import LOSSES
from minigen.models.point_gan import PointDiscriminator, PointGANConfig, PointGenerator
from minigen.training import Settings
from minigen.training.recipes.contest import Contest, Rules

WIDTH, N = 12, 16


def settings(model: dict[str, Any] | None = None, batch: int = N, **rules: Any) -> Settings:
    options = {"betas": [0.5, 0.999], **dataclasses.asdict(Rules()), **rules}
    return Settings("ring", 1, batch, 1e-2, model=model or {}, options=options)


def contest(seed: int = 3, model: dict[str, Any] | None = None, **rules: Any) -> Contest:
    """On points, in float64."""
    minigen.manual_seed(seed)
    config = PointGANConfig(width=WIDTH, **(model or {}))
    made = Contest(
        PointGenerator(config).double(),
        PointDiscriminator(config).double(),
        settings(model, **rules),
    )
    return made


# ------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"loss": "hinged"}, "there is no loss 'hinged'; choose one of minimax, non_saturating"),
        ({"smoothing": -0.1}, "smoothing must be 0 or a positive number, got -0.1"),
        ({"penalty": "ten"}, "penalty must be 0 or a positive number, got 'ten'"),
        ({"r1": float("nan")}, "r1 must be 0 or a positive number"),
        ({"mode_seeking": True}, "mode_seeking must be 0 or a positive number, got True"),
        ({"smoothing": 0.5}, r"smoothing must be below 0\.5"),
        ({"average": 1}, "average must be below 1"),
        ({"critic_steps": 0}, "critic_steps must be a whole number, 1 or more, got 0"),
        ({"critic_steps": 3}, "a batch of 16 cannot be divided among critic_steps 3 and pack 1"),
        ({"feature_matching": 1}, "feature_matching is True or False, got 1"),
        (
            {"loss": "hinge", "smoothing": 0.1},
            "smoothing is of labels, and the loss hinge has none",
        ),
        ({"clip": 0.01}, "clip makes a critic of D, for the loss wasserstein, not non_saturating"),
        ({"loss": "wasserstein", "clip": 0.01, "penalty": 10}, "clip and penalty bound the same"),
        ({"penalty": 10, "r1": 1}, "penalty and r1 bound the same slope; take one of them"),
        ({"loss": "wasserstein"}, "wasserstein needs a bound on D's slope: penalty=10"),
        ({"loss": "wasserstein", "r1": 1.0}, "wasserstein needs a bound on D's slope"),
    ],
)
def test_what_makes_no_sense_is_refused(rules: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rules.of(settings(**rules))


@pytest.mark.parametrize(
    ("model", "rules", "message"),
    [
        ({"pack": 0}, {}, "pack must be a whole number, 1 or more, got 0"),
        ({"pack": 5}, {}, "a batch of 16 cannot be divided among critic_steps 1 and pack 5"),
        ({"pack": 4}, {"critic_steps": 8}, "take a multiple of 32"),
        (
            {"spectral_norm": True}, {"loss": "wasserstein", "clip": 0.01},
            "clip and spectral_norm bound the same weights",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_networks_is_refused(model: dict, rules: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Rules.of(settings(model, **rules))


def test_a_run_of_an_older_version_has_the_rules_of_its_time() -> None:
    """The first WGAN-GP named no loss: it had one."""
    older = settings()
    older = dataclasses.replace(older, options={"betas": [0, 0.9], "critic_steps": 4, "penalty": 9})
    assert Rules.of(older, loss="wasserstein") == Rules("wasserstein", critic_steps=4, penalty=9)


# --------------------------------------------------------------------------------- beside torch


def twin_of(ours: minigen.nn.Module, inputs: int, outputs: int, pack: int = 1) -> torch.nn.Module:
    module = torch.nn.Module()
    layers = [torch.nn.Linear(inputs * pack, WIDTH), torch.nn.ReLU()]
    layers += [torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, outputs)]
    module.model = torch.nn.Sequential(*layers)
    copy_weights(ours, module)
    return module


def softplus_loss(real: torch.Tensor, fake: torch.Tensor, smoothing: float) -> torch.Tensor:
    bce = F.binary_cross_entropy_with_logits
    is_real = torch.full_like(real, 1 - smoothing)
    return (bce(real, is_real) + bce(fake, torch.zeros_like(fake))) / 2


THEIR_LOSSES = {
    "minimax": (softplus_loss, lambda f: torch.log(1 - torch.sigmoid(f)).mean()),
    "non_saturating": (softplus_loss, lambda f: -torch.log(torch.sigmoid(f)).mean()),
    "least_squares": (
        lambda r, f, _: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda f: ((f - 1) ** 2).mean() / 2,
    ),
    "hinge": (
        lambda r, f, _: F.relu(1 - r).mean() + F.relu(1 + f).mean(),
        lambda f: -f.mean(),
    ),
    "wasserstein": (lambda r, f, _: f.mean() - r.mean(), lambda f: -f.mean()),
}


class TheirContest:
    """The step, written down once more: D's k updates, then G's."""

    def __init__(self, ours: Contest) -> None:
        self.rules, self.pack = ours.rules, ours.D.pack
        self.G, self.D = twin_of(ours.G, 2, 2), twin_of(ours.D, 2, 1, ours.D.pack)
        self.mean = {k: v.detach().clone() for k, v in self.G.named_parameters()}
        self.adam_g, self.adam_d = (
            torch.optim.Adam(net.parameters(), lr=1e-2, betas=(0.5, 0.999))
            for net in (self.G, self.D)
        )
        self.steps = 0

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(minigen.randn(*shape, dtype=minigen.float64).numpy())

    def slopes(self, x: torch.Tensor) -> torch.Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(self.D.model(x).sum(), x, create_graph=True)[0]

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return self.D.model[:-1](x.reshape(-1, 2 * self.pack))

    def step(self, batch: np.ndarray) -> dict[str, float]:
        rules = self.rules
        of_d, of_g = THEIR_LOSSES[rules.loss]
        for part in np.split(batch, rules.critic_steps):
            real = torch.from_numpy(part)
            n = len(real)
            z = self.noise(n, 2)
            fake = self.G.model(z)
            packs = [x.detach().reshape(n // self.pack, -1) for x in (real, fake)]
            if rules.penalty:
                e = torch.from_numpy(minigen.rand(len(packs[0]), 1).numpy()).double()
            loss_d = of_d(*(self.D.model(p) for p in packs), rules.smoothing)
            total = loss_d
            if rules.penalty:
                lengths = self.slopes(e * packs[0] + (1 - e) * packs[1]).norm(dim=1)
                total = total + rules.penalty * ((lengths - 1) ** 2).mean()
            if rules.r1:
                total = total + rules.r1 / 2 * (self.slopes(packs[0]) ** 2).sum(1).mean()
            self.adam_d.zero_grad()
            total.backward()
            self.adam_d.step()
            if rules.clip:
                with torch.no_grad():
                    for p in self.D.parameters():
                        p.clamp_(-rules.clip, rules.clip)
        if rules.critic_steps > 1:
            z = self.noise(n, 2)
            fake = self.G.model(z)
        if rules.feature_matching:
            apart = self.features(real).mean(0) - self.features(fake).mean(0)
            loss_g = (apart**2).sum()
        else:
            loss_g = of_g(self.D.model(fake.reshape(n // self.pack, -1)))
        total = loss_g
        if rules.mode_seeking:
            z2 = self.noise(n, 2)
            fake2 = self.G.model(z2)
            ratio = (z - z2).abs().mean(1) / ((fake - fake2).abs().mean(1) + 1e-5)
            total = total + rules.mode_seeking * ratio.mean()
        self.adam_g.zero_grad()
        total.backward()
        self.adam_g.step()
        decay = rules.average if self.steps else 0
        self.steps += 1
        for name, p in self.G.named_parameters():
            self.mean[name] = decay * self.mean[name] + (1 - decay) * p.detach()
        return {"D": loss_d.item(), "G": loss_g.item()}


CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    *(({}, {"loss": name}) for name in LOSSES if name != "wasserstein"),
    ({}, {"loss": "wasserstein", "clip": 0.05, "critic_steps": 2}),
    ({}, {"loss": "wasserstein", "penalty": 10.0, "critic_steps": 4}),
    ({}, {"r1": 2.0}),
    ({}, {"smoothing": 0.1}),
    ({}, {"feature_matching": True}),
    ({}, {"mode_seeking": 0.3}),
    ({}, {"average": 0.8}),
    ({"pack": 2}, {}),
    ({"pack": 2}, {"penalty": 3.0, "loss": "hinge", "average": 0.5}),
    ({"pack": 4}, {"feature_matching": True, "mode_seeking": 0.1, "r1": 1.0}),
]


@pytest.mark.parametrize(("model", "rules"), CASES, ids=lambda each: repr(each))
def test_ten_steps_equal_torch(model: dict, rules: dict) -> None:
    ours = contest(model=model, **rules)
    theirs = TheirContest(ours)
    rng = np.random.default_rng(6)
    for step in range(10):
        x = rng.normal((2.0, 0.0), 1.0, (N, 2))
        minigen.manual_seed(step)
        found = list(ours.step([minigen.from_numpy(x)]).values())
        minigen.manual_seed(step)
        expected = theirs.step(x)
        sign = -1 if ours.rules.loss == "wasserstein" else 1
        assert sign * float(found[0]) == pytest.approx(expected["D"], rel=1e-8, abs=1e-10), step
        assert float(found[1]) == pytest.approx(expected["G"], rel=1e-8, abs=1e-10), step
    same_weights(ours.G, theirs.G)
    same_weights(ours.D, theirs.D)
    if ours.average is not None:
        for name, mean in ours.artist.named_parameters():
            np.testing.assert_allclose(
                mean.detach().numpy(), theirs.mean[name].numpy(), rtol=1e-8, atol=1e-10
            )


# ---------------------------------------------------------------------------- what each option does


def test_a_discriminator_that_compares_sees_real_and_generated_apart() -> None:
    """Together they would vary alike."""
    ours = contest(model={"minibatch_std": True})
    seen: list[np.ndarray] = []
    ours.D.register_forward_hook(lambda module, given, _: seen.append(given[0].detach().numpy()))
    x = np.random.default_rng(0).normal(size=(N, 2)) + 100
    ours.step([minigen.from_numpy(x)])
    np.testing.assert_array_equal(seen[0], x)
    assert [len(each) for each in seen] == [N, N, N]
    assert seen[1].max() < 50


def test_spectral_norms_stay_one_while_d_learns() -> None:
    ours = contest(model={"spectral_norm": True}, loss="wasserstein")
    rng = np.random.default_rng(0)
    before = ours.D.model[0].parametrizations.weight.original.detach().numpy().copy()
    for _ in range(30):
        ours.step([minigen.from_numpy(rng.normal(size=(N, 2)))])
    original = ours.D.model[0].parametrizations.weight.original.detach().numpy()
    assert (original != before).any()
    for _ in range(100):
        ours.D(minigen.zeros(1, 2, dtype=minigen.float64))  # the power method catches up
    ours.D.eval()
    for layer in (ours.D.model[i] for i in (0, 2, 4)):
        norm = np.linalg.norm(layer.weight.detach().numpy(), 2)
        assert norm == pytest.approx(1, rel=1e-6)
    x = minigen.from_numpy(rng.normal(size=(200, 2)) * 3).requires_grad_()
    ours.D(x).sum().backward()
    slopes = np.linalg.norm(x.grad.numpy(), axis=1)
    assert slopes.max() < 1 + 1e-6
    assert slopes.max() > 0.1


def test_samples_come_from_the_average_and_it_belongs_to_the_checkpoint() -> None:
    ours = contest(average=0.9)
    assert set(ours.modules) == {"generator", "discriminator", "average"}
    ours.step([minigen.zeros(N, 2, dtype=minigen.float64)])
    first = ours.G.model[0].weight.detach().numpy().copy()
    np.testing.assert_array_equal(ours.artist.model[0].weight.detach().numpy(), first)
    ours.step([minigen.zeros(N, 2, dtype=minigen.float64)])
    expected = 0.9 * first + 0.1 * ours.G.model[0].weight.detach().numpy()
    np.testing.assert_allclose(ours.artist.model[0].weight.detach().numpy(), expected, rtol=1e-12)
    assert contest().artist is not None
    assert set(contest().modules) == {"generator", "discriminator"}


# --------------------------------------------------------------------------------- with classes


def conditional(**rules: Any) -> Contest:
    minigen.manual_seed(1)
    config = ConditionalGANConfig(
        pixels=4, latent=3, generator=(8, 8), discriminator=(8,), dropout=0.0, classes=3
    )
    return Contest(
        ConditionalGenerator(config), ConditionalDiscriminator(config), settings(**rules)
    )


def test_both_networks_get_the_class_and_no_others() -> None:
    """In every place: D on real and generated, G's step, the second images of mode seeking."""
    ours = conditional(mode_seeking=1.0, penalty=1.0)
    seen: dict[str, list] = {"G": [], "D": []}
    for name, net in (("G", ours.G), ("D", ours.D)):
        net.register_forward_hook(lambda _, given, __, name=name: seen[name].append(given[1]))
    y = minigen.arange(N) % 3
    ours.step([minigen.rand(N, 4), y])
    once, twice = y.numpy(), np.concatenate([y.numpy()] * 2)
    assert len(seen["G"]) == 2
    assert len(seen["D"]) == 3
    for given in seen["G"]:
        np.testing.assert_array_equal(given.numpy(), once)
    for given in seen["D"]:
        np.testing.assert_array_equal(given.numpy(), twice if len(given) > N else once)
    assert [len(given) for given in seen["D"]] == [2 * N, N, N]


def test_features_of_the_conditional_discriminator_depend_on_the_class() -> None:
    D = conditional().D
    x = minigen.rand(2, 4)
    a, b = (D.features(x, minigen.tensor([k, k])).detach().numpy() for k in (0, 1))
    assert a.shape == (2, 8)
    assert (a != b).any()
    last = D.model[-1]
    expected = a @ last.weight.detach().numpy().T + last.bias.detach().numpy()
    logits = D(x, minigen.tensor([0, 0])).detach().numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_drawing_takes_classes_or_goes_through_them() -> None:
    G = conditional().G
    noise = lambda: minigen.Generator().manual_seed(5)  # noqa: E731
    turns = G.draw(6, noise()).numpy()
    asked = G.draw(6, noise(), minigen.tensor([0, 1, 2, 0, 1, 2])).numpy()
    np.testing.assert_array_equal(turns, asked)
    other = G.draw(6, noise(), minigen.tensor([0, 1, 2, 0, 1, 1])).numpy()
    np.testing.assert_array_equal(turns[:5], other[:5])
    assert (turns[5] != other[5]).any()
    assert G.training


def test_a_conditional_gan_packs_nothing() -> None:
    with pytest.raises(ValueError, match="one by one"):
        ConditionalGANConfig(pack=2)


def test_d_gets_the_class_as_long_a_vector_as_an_image() -> None:
    x = minigen.from_numpy(np.sign(np.random.default_rng(0).normal(size=(3, 784))))
    both = ConditionalDiscriminator().told(x, minigen.tensor([0, 4, 9])).numpy()
    np.testing.assert_array_equal(both[:, :784], x.numpy())
    np.testing.assert_array_equal(both[:, 784:].argmax(axis=1), [0, 4, 9])
    np.testing.assert_allclose(np.linalg.norm(both[:, 784:], axis=1), 28)
