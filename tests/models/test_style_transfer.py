"""Style transfer: its losses by definition and against torch, and a picture in the making."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import minigen
from minigen import optim
from minigen.metrics.classifier import DigitClassifier
from minigen.models.style_transfer import (
    StrokeFeatures,
    StyleTransfer,
    content_loss,
    gram_matrix,
    style_loss,
)

rng = np.random.default_rng(0)


def classifier() -> DigitClassifier:
    minigen.manual_seed(2)
    return DigitClassifier().double().eval().requires_grad_(False)


def stripes(size: int, period: int, axis: int) -> np.ndarray:
    """Grey waves, (1, 1, size, size)."""
    wave = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(size) / period)
    return np.broadcast_to(np.expand_dims(wave, axis), (1, 1, size, size)).copy()


def test_losses_equal_torch_with_their_gradients() -> None:
    f, p, s = (rng.normal(size=(2, 3, 4, 5)) for _ in range(3))
    ours = minigen.from_numpy(f).requires_grad_()
    theirs = torch.from_numpy(f.copy()).requires_grad_()
    gram = torch.einsum("nihw,njhw->nij", torch.from_numpy(s), torch.from_numpy(s))
    np.testing.assert_allclose(gram_matrix(minigen.from_numpy(s)).numpy(), gram.numpy(), rtol=1e-12)
    loss = content_loss(ours, minigen.from_numpy(p))
    loss = loss + 7 * style_loss(ours, gram_matrix(minigen.from_numpy(s)))
    loss.backward()
    expected = ((theirs - torch.from_numpy(p)) ** 2).sum() / 2
    # Equation 4 has 4 N² M² in the denominator, and Gram matrices that are sums.
    apart = torch.einsum("nihw,njhw->nij", theirs, theirs) - gram
    expected = expected + 7 * (apart**2).sum() / (4 * 3**2 * 20**2)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_style_is_what_does_not_depend_on_places() -> None:
    f = rng.normal(size=(1, 3, 4, 5))
    moved = f.reshape(1, 3, 20)[:, :, rng.permutation(20)].reshape(f.shape)
    twice = np.concatenate([f, moved], axis=2)  # a picture twice as high of the same style
    gram = gram_matrix(minigen.from_numpy(f))
    assert style_loss(minigen.from_numpy(moved), gram).item() < 1e-20
    assert style_loss(minigen.from_numpy(twice), gram, pixels=20).item() < 1e-20
    assert style_loss(minigen.from_numpy(2 * f), gram).item() > 0.1
    assert content_loss(minigen.from_numpy(moved), minigen.from_numpy(f)).item() > 1


def torch_features(net: DigitClassifier, x: torch.Tensor, scales: int) -> list[torch.Tensor]:
    w = {name: torch.from_numpy(t.numpy().copy()) for name, t in net.state_dict().items()}
    found = []
    for _ in range(scales):
        first = F.relu(F.conv2d(x, w["conv1.weight"], w["conv1.bias"], padding=1))
        pooled = F.avg_pool2d(first, 2)
        second = F.relu(F.conv2d(pooled, w["conv2.weight"], w["conv2.bias"], padding=1))
        found += [first, second]
        x = F.avg_pool2d(x, 2)
    return found


def test_ten_steps_equal_torch() -> None:
    net = classifier()
    content, style = rng.random((1, 1, 16, 16)), rng.random((1, 1, 24, 16))
    picture = StyleTransfer(
        minigen.from_numpy(content), minigen.from_numpy(style), 2, (1, 3), classifier=net
    )
    adam = optim.Adam(picture.parameters(), lr=0.05)
    pixels = torch.from_numpy(content.copy()).requires_grad_()
    theirs = torch.optim.Adam([pixels], lr=0.05)
    targets = torch_features(net, torch.from_numpy(content), 2)
    grams = [
        torch.einsum("nihw,njhw->nij", f, f) / (f.shape[2] * f.shape[3])
        for f in torch_features(net, torch.from_numpy(style), 2)
    ]
    for step in range(10):
        of_content, of_style = picture.losses()
        loss = of_content + 500 * of_style
        features = torch_features(net, pixels, 2)
        expected = sum(((features[i] - targets[i]) ** 2).mean() / 2 for i in (1, 3)) / 2
        for f, a in zip(features, grams):
            g = torch.einsum("nihw,njhw->nij", f, f) / (f.shape[2] * f.shape[3])
            expected = expected + 500 * ((g - a) ** 2).sum() / (4 * f.shape[1] ** 2) / 4
        for each, optimizer in ((loss, adam), (expected, theirs)):
            optimizer.zero_grad()
            each.backward()
            optimizer.step()
        picture.keep_in_range()
        with torch.no_grad():
            pixels.clamp_(0, 1)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-8), step
    np.testing.assert_allclose(picture.pixels.detach().numpy(), pixels.detach().numpy(), atol=1e-8)
    assert [name for name, _ in picture.named_parameters()] == ["pixels"]


def test_a_picture_takes_on_the_strokes_of_another_and_still_shows_its_own() -> None:
    """A white square in the style of stripes: stripes come, and the square stays the brightest."""
    square = np.zeros((1, 1, 32, 32), np.float32)
    square[:, :, 8:24, 8:24] = 1
    across = minigen.from_numpy(stripes(32, 4, axis=1).astype(np.float32))  # along rows
    picture = StyleTransfer(minigen.from_numpy(square), across, scales=2)
    before = picture.losses()[1].item()
    adam = optim.Adam(picture.parameters(), lr=0.05)
    for _ in range(60):
        content, style = picture.losses()
        adam.zero_grad()
        (content + 1000 * style).backward()
        adam.step()
        picture.keep_in_range()
    assert picture.losses()[1].item() < before / 10
    made = picture.pixels.detach().numpy()[0, 0]
    assert made.min() >= 0
    assert made.max() <= 1
    down, right = (np.abs(np.diff(made, axis=axis)).mean() for axis in (0, 1))
    assert down > 1.5 * right  # the waves lie across
    assert made[8:24, 8:24].mean() > made[:, :4].mean() + 0.1


def test_several_pictures_are_made_as_each_alone() -> None:
    """The losses of a batch are the means of those of its pictures, and so are the gradients."""
    net = classifier()
    content, style = (minigen.from_numpy(rng.random((3, 1, 16, 16))) for _ in range(2))
    both = StyleTransfer(content, style, 2, classifier=net)
    made = minigen.from_numpy(rng.random((3, 1, 16, 16)))
    with minigen.no_grad():
        both.pixels.copy_(made)
    whole = both.losses()
    sum(whole).backward()
    single = []
    for i in range(3):
        one = StyleTransfer(content[i : i + 1], style[i : i + 1], 2, classifier=net)
        with minigen.no_grad():
            one.pixels.copy_(made[i : i + 1])
        single.append([loss.item() for loss in one.losses()])
        sum(one.losses()).backward()
        np.testing.assert_allclose(
            both.pixels.grad[i].numpy(), one.pixels.grad[0].numpy() / 3, rtol=1e-8, atol=1e-14
        )
    np.testing.assert_allclose([loss.item() for loss in whole], np.mean(single, 0), rtol=1e-10)
    some = both.losses(minigen.tensor([2, 0]))
    np.testing.assert_allclose(
        [loss.item() for loss in some], np.mean([single[2], single[0]], 0), rtol=1e-10
    )
    others = both.losses(pictures=content)
    assert others[0].item() == 0
    with pytest.raises(ValueError, match="3 contents and 2 styles"):
        StyleTransfer(content, style[:2])


def test_bad_input_is_refused_by_name() -> None:
    features = StrokeFeatures(scales=3)
    for shape in ((1, 3, 32, 32), (1, 1, 12, 32), (1, 32, 32)):
        with pytest.raises(ValueError, match=r"grey pictures \(N, 1, H, W\) of 16 x 16"):
            features(minigen.zeros(*shape))
    with pytest.raises(ValueError, match="NaN"):
        features(minigen.full((1, 1, 32, 32), float("nan")))
