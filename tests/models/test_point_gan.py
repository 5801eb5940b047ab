"""GANs in a plane."""

from __future__ import annotations

import numpy as np
import pytest

import minigen
from minigen.models.point_gan import PointDiscriminator, PointGANConfig, PointGenerator


@pytest.mark.parametrize(("pack", "parameters"), [(1, 34_179), (2, 34_435)])
def test_the_networks_are_those_of_the_comparison(pack: int, parameters: int) -> None:
    config = PointGANConfig(pack=pack)
    networks = PointGenerator(config), PointDiscriminator(config)
    assert sum(p.numel() for n in networks for p in n.parameters()) == parameters
    kinds = [type(layer).__name__ for layer in networks[0].model]
    assert kinds == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]


def test_points_have_no_bounds() -> None:
    G = PointGenerator()
    with minigen.no_grad():
        G.model[-1].bias.fill_(7.0)
    assert G.draw(10).numpy().min() > 5


def test_the_spread_of_the_batch_reaches_the_last_layer() -> None:
    D = PointDiscriminator(PointGANConfig(minibatch_std=True, width=8)).double()
    assert D.compares
    x = minigen.from_numpy(np.random.default_rng(0).normal(size=(6, 2)))
    features = D.features(x).detach().numpy()
    assert features.shape == (6, 9)
    assert len(set(features[:, -1])) == 1
    assert features[0, -1] == pytest.approx(
        features[:, :-1].std(0).mean(), rel=1e-3
    )  # an ε under the root
