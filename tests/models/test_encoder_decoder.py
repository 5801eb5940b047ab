"""The encoder-decoder beside torch's `nn.Transformer`, its masks, and its cache."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as TF
from torch_text import TorchEncoderDecoder
from twins import copy_weights, same_weights

import minigen
from minigen.models.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    MultiHeadAttention,
    label_smoothed_loss,
    sinusoids,
)

SMALL = {"vocabulary": 11, "layers": 2, "heads": 2, "width": 8, "hidden": 12}
PAD, START, END = 0, 1, 2


def model_of(seed: int = 0, **changes: object) -> EncoderDecoder:
    minigen.manual_seed(seed)
    return EncoderDecoder(EncoderDecoderConfig(**(SMALL | changes))).double()  # type: ignore[arg-type]


def sequences(seed: int, lengths: tuple[int, ...], room: int | None = None) -> np.ndarray:
    """Random tokens, rows filled up with padding."""
    rng = np.random.default_rng(seed)
    ids = np.full((len(lengths), room or max(lengths)), PAD, np.int64)
    for row, length in zip(ids, lengths):
        row[:length] = rng.integers(3, 11, length)
    return ids


def randomised(model: EncoderDecoder, seed: int = 1) -> EncoderDecoder:
    """Ones and zeros, which biases and norms start from, would hide mistakes."""
    rng = np.random.default_rng(seed)
    values = {
        k: minigen.from_numpy(rng.normal(0, 0.5, v.shape)) for k, v in model.state_dict().items()
    }
    model.load_state_dict(values)
    return model


@pytest.mark.parametrize("norm_first", [False, True])
def test_logits_and_gradients_equal_torch(norm_first: bool) -> None:
    """Sources and targets of different lengths; targets' own padding is at their ends."""
    model = randomised(model_of(norm_first=norm_first))
    twin = TorchEncoderDecoder(**vars(model.config))
    copy_weights(model, twin)
    source, target = sequences(0, (5, 3, 6, 1)), sequences(1, (4, 7, 2, 5))
    ours = model(minigen.from_numpy(source), minigen.from_numpy(target[:, :-1]))
    theirs = twin(torch.from_numpy(source), torch.from_numpy(target[:, :-1]))
    np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-8, atol=1e-9)

    loss = label_smoothed_loss(ours, minigen.from_numpy(target[:, 1:]), 0.1)
    expected = TF.cross_entropy(
        theirs.flatten(0, 1), torch.from_numpy(target[:, 1:]).flatten(),
        ignore_index=PAD, label_smoothing=0.1,
    )  # fmt: skip
    assert float(loss) == pytest.approx(expected.item(), rel=1e-10)
    loss.backward()
    expected.backward()
    for parameter in twin.parameters():
        parameter.data = parameter.grad
    same_weights(Gradients(model), twin)


class Gradients:
    """The gradients of a model under the names of its parameters."""

    def __init__(self, model: EncoderDecoder) -> None:
        self.model = model

    def state_dict(self) -> dict[str, minigen.Tensor]:
        return {name: parameter.grad for name, parameter in self.model.named_parameters()}


@pytest.mark.parametrize("kind", ["none", "padding", "causal", "any", "numbers"])
@pytest.mark.parametrize("cross", [False, True])
def test_attention_with_every_mask(kind: str, cross: bool) -> None:
    """torch's masks are True where nobody may look, or are added to the scores."""
    rng = np.random.default_rng(5)
    attention = MultiHeadAttention(EncoderDecoderConfig(heads=2, width=8)).double()
    twin = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    twin.load_state_dict(
        {
            "in_proj_weight": torch.from_numpy(attention.in_proj.weight.detach().numpy()),
            "in_proj_bias": torch.from_numpy(attention.in_proj.bias.detach().numpy()),
            "out_proj.weight": torch.from_numpy(attention.out_proj.weight.detach().numpy()),
            "out_proj.bias": torch.from_numpy(attention.out_proj.bias.detach().numpy()),
        }
    )
    x, memory = rng.normal(size=(3, 4, 8)), rng.normal(size=(3, 6 if cross else 4, 8))
    s = memory.shape[1]
    visible = {
        "none": np.ones((3, 2, 4, s), bool),
        "padding": np.broadcast_to(
            np.arange(s) < np.array([[1], [3], [s]])[:, None, None], (3, 2, 4, s)
        ),
        "causal": np.broadcast_to(np.tri(4, s, dtype=bool), (3, 2, 4, s)),
    }.get(kind, rng.random((3, 2, 4, s)) < 0.5)
    visible = visible | (np.arange(s) == 0)  # torch gives NaN for who may look nowhere
    added = np.where(
        visible, rng.normal(size=visible.shape) if kind == "numbers" else 0.0, -math.inf
    )
    mask = {"none": None, "numbers": minigen.from_numpy(added)}.get(
        kind, minigen.from_numpy(np.array(visible))
    )
    ours_x, theirs_x = minigen.from_numpy(x).requires_grad_(), torch.from_numpy(x).requires_grad_()
    ours_m = minigen.from_numpy(memory if cross else x).requires_grad_()
    theirs_m = torch.from_numpy(memory if cross else x).requires_grad_()
    memories = (ours_m, theirs_m) if cross else (None, theirs_x)
    ours = attention(ours_x, memories[0], mask)
    theirs, _ = twin(
        theirs_x, memories[1], memories[1], need_weights=False,
        attn_mask=torch.from_numpy(added.reshape(6, 4, s)),
    )  # fmt: skip
    np.testing.assert_allclose(
        ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-9, atol=1e-10
    )
    cotangent = rng.normal(size=(3, 4, 8))
    (ours * minigen.from_numpy(cotangent)).sum().backward()
    (theirs * torch.from_numpy(cotangent)).sum().backward()
    np.testing.assert_allclose(ours_x.grad.numpy(), theirs_x.grad.numpy(), rtol=1e-8, atol=1e-10)
    if cross:
        np.testing.assert_allclose(
            ours_m.grad.numpy(), theirs_m.grad.numpy(), rtol=1e-8, atol=1e-10
        )


def test_positions_are_those_of_the_paper() -> None:
    """Each number by the formula of section 3.5, and shifted: rotated by a fixed angle."""
    table = sinusoids(0, 50, 16)
    for place in (0, 1, 7, 49):
        for i in range(8):
            angle = place / 10_000 ** (2 * i / 16)
            assert table[place, 2 * i] == pytest.approx(math.sin(angle))
            assert table[place, 2 * i + 1] == pytest.approx(math.cos(angle))
    np.testing.assert_array_equal(sinusoids(20, 50, 16), table[20:])


def test_no_target_sees_what_comes_after_it_and_all_see_the_whole_source() -> None:
    model = randomised(model_of())
    source, target = sequences(2, (6,)), sequences(3, (7,))

    def logits(source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return model(minigen.from_numpy(source), minigen.from_numpy(target)).detach().numpy()[0]

    base = logits(source, target)
    later = target.copy()
    later[0, 4] = 3 + (later[0, 4] - 2) % 8
    changed = np.abs(logits(source, later) - base).max(axis=1)
    assert (changed[:4] < 1e-12).all()
    assert (changed[4:] > 1e-6).all()
    for place in (0, 5):
        other = source.copy()
        other[0, place] = 3 + (other[0, place] - 2) % 8
        assert (np.abs(logits(other, target) - base).max(axis=1) > 1e-6).all()


def test_padding_changes_nothing() -> None:
    """A source alone, and the same beside longer ones."""
    model = randomised(model_of())
    source, target = sequences(4, (3, 6)), sequences(5, (4, 4))
    together = model(minigen.from_numpy(source), minigen.from_numpy(target)).detach().numpy()
    alone = (
        model(minigen.from_numpy(source[:1, :3]), minigen.from_numpy(target[:1])).detach().numpy()
    )
    np.testing.assert_allclose(together[:1], alone, rtol=1e-10, atol=1e-12)


def test_padding_costs_nothing() -> None:
    """The loss is that of the real targets, however much padding follows them."""
    logits = np.random.default_rng(0).normal(size=(2, 4, 11))
    targets = np.array([[3, 4, 2, 0], [5, 2, 0, 0]])
    loss = float(label_smoothed_loss(minigen.from_numpy(logits), minigen.from_numpy(targets), 0.0))
    logp = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    wanted = [logp[0, 0, 3], logp[0, 1, 4], logp[0, 2, 2], logp[1, 0, 5], logp[1, 1, 2]]
    assert loss == pytest.approx(-np.mean(wanted))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("parts", [(1, 1, 1, 1, 1), (3, 2), (1, 4)])
def test_reading_piece_by_piece_equals_reading_at_once(norm_first: bool, parts: tuple) -> None:
    model = randomised(model_of(norm_first=norm_first))
    source, target = (
        minigen.from_numpy(sequences(6, (4, 6))),
        minigen.from_numpy(sequences(7, (5, 5))),
    )
    reader, first = model.reader(source), 0
    for part in parts:
        logits = reader(target[:, first : first + part]).numpy()
        first += part
        whole = model(source, target[:, :first]).detach().numpy()[:, -1]
        np.testing.assert_allclose(logits, whole, rtol=1e-9, atol=1e-10)
    assert model.training


def test_a_reader_goes_on_with_the_rows_that_are_selected() -> None:
    model = randomised(model_of())
    source, target = sequences(8, (4, 6, 2)), sequences(9, (3, 3, 3))
    rows = np.array([2, 0, 0, 1])
    reader = model.reader(minigen.from_numpy(source))
    reader(minigen.from_numpy(target[:, :2]))
    reader.select(minigen.from_numpy(rows))
    ours = reader(minigen.from_numpy(target[rows, 2:])).numpy()
    whole = model(minigen.from_numpy(source[rows]), minigen.from_numpy(target[rows]))
    np.testing.assert_allclose(ours, whole.detach().numpy()[:, -1], rtol=1e-9, atol=1e-10)


def test_initial_weights() -> None:
    """Embedded tokens, multiplied by sqrt(C), have variance 1; matrices are Xavier's."""
    minigen.manual_seed(0)
    model = EncoderDecoder(EncoderDecoderConfig(vocabulary=500))
    assert model.embedding.weight.detach().numpy().std() == pytest.approx(1 / 8, rel=0.02)
    for name, parameter in model.named_parameters():
        values = parameter.detach().numpy()
        if name.endswith("bias"):
            assert (values == 0).all(), name
        elif values.ndim == 2 and name != "embedding.weight":
            bound = math.sqrt(6 / sum(values.shape))
            assert bound * 0.99 < np.abs(values).max() <= bound, name


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="equal heads"):
        EncoderDecoderConfig(width=10, heads=4)
    with pytest.raises(ValueError, match="odd"):
        EncoderDecoderConfig(width=9, heads=3)
