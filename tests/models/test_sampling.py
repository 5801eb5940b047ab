"""What is drawn from, exactly, against the definitions in NumPy and in torch; streams of text."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import minigen
from minigen import Generator
from minigen.data import BytePairTokenizer, CharTokenizer
from minigen.models import GPT, RNN, GPTConfig, RNNConfig, Sampling, write_text
from minigen.models.sampling import (
    evaluating,
    keep_likeliest,
    keep_nucleus,
    next_token,
    until,
    write_tokens,
)

# Steps of 1/4 make many ties.
logits_of = arrays(
    np.float64, st.tuples(st.integers(1, 3), st.integers(1, 8)),
    elements=st.integers(-20, 20).map(lambda quarter: quarter / 4),
)  # fmt: skip


def probabilities(row: np.ndarray, seen: np.ndarray, how: Sampling) -> np.ndarray:
    """By the definitions of the papers, one sequence at a time, token by token."""
    x = [
        (s / how.repetition_penalty if s > 0 else s * how.repetition_penalty) if i in seen else s
        for i, s in enumerate(row.tolist())
    ]
    if how.temperature == 0:
        return np.array([float(i == x.index(max(x))) for i in range(len(x))])
    weights = np.exp(np.array(x) / how.temperature - max(x) / how.temperature)
    if how.top_k is not None:
        least = sorted(weights)[::-1][: how.top_k][-1]
        weights = np.where(weights >= least, weights, 0.0)
    p = weights / weights.sum()
    nucleus, total = [], 0.0
    for i in sorted(range(len(p)), key=lambda i: (-p[i], i)):
        if how.top_p < 1 and nucleus and total >= how.top_p:
            break
        nucleus.append(i)
        total += p[i]
    chosen = np.where([i in nucleus for i in range(len(p))], p, 0.0)
    return chosen / chosen.sum()


@settings(deadline=None, max_examples=300)
@given(
    logits_of,
    st.data(),
    st.sampled_from([0, 0.3, 1.0, 2.5]),
    st.none() | st.integers(1, 10),
    # No sum of a few such probabilities is any of these, where rounding would decide.
    st.sampled_from([0, 0.31, 0.537, 0.913, 0.9991, 1]),
    st.sampled_from([1.0, 1.2, 0.7]),
)
def test_probabilities_are_those_of_the_papers(
    logits: np.ndarray,
    data: st.DataObject,
    temperature: float,
    top_k: int | None,
    top_p: float,
    penalty: float,
) -> None:
    n, v = logits.shape
    seen = data.draw(
        arrays(np.int64, (n, data.draw(st.integers(0, 4))), elements=st.integers(0, v - 1))
    )
    how = Sampling(temperature, top_k, top_p, penalty)
    ours = how.probabilities(minigen.from_numpy(logits), minigen.from_numpy(seen)).numpy()
    expected = [probabilities(row, s, how) for row, s in zip(logits, seen)]
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


def custom_of_transformers(x: torch.Tensor, seen: torch.Tensor, how: Sampling) -> torch.Tensor:
    """The four steps as the usual library does them: sorted upwards, with scatter and gather."""
    score = torch.gather(x, 1, seen)
    score = torch.where(score < 0, score * how.repetition_penalty, score / how.repetition_penalty)
    x = x.scatter(1, seen, score) / how.temperature
    k = min(how.top_k or x.shape[-1], x.shape[-1])
    x = x.masked_fill(x < torch.topk(x, k)[0][..., -1, None], -math.inf)
    ascending, order = torch.sort(x, descending=False)
    out = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - how.top_p
    out[..., -1:] = False
    return x.masked_fill(out.scatter(1, order, out), -math.inf).softmax(-1)


@pytest.mark.parametrize(
    "how",
    [
        Sampling(),
        Sampling(0.7, top_k=20),
        Sampling(1.3, top_p=0.9),
        Sampling(0.8, 40, 0.95, 1.3),
        Sampling(top_p=1e-9),
    ],
)
def test_probabilities_are_those_of_the_usual_library(how: Sampling) -> None:
    rng = np.random.default_rng(1)
    logits, seen = 3 * rng.standard_normal((4, 100)), rng.integers(0, 100, (4, 30))
    ours = how.probabilities(minigen.from_numpy(logits), minigen.from_numpy(seen))
    theirs = custom_of_transformers(torch.from_numpy(logits), torch.from_numpy(seen), how)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-15)


def test_draws_follow_the_probabilities() -> None:
    how = Sampling(0.9, 4, 0.9, 1.1)
    logits = minigen.tensor([[0.0, 1.0, 2.0, -1.0, 1.5]])
    seen = minigen.tensor([[2, 0]])
    p = how.probabilities(logits, seen).numpy()[0]
    assert (p == 0).any()
    n = 40_000
    many = how.draw(logits.repeat(n, 1), seen.repeat(n, 1), Generator().manual_seed(0)).numpy()
    counts = np.bincount(many[:, 0], minlength=5) / n
    np.testing.assert_array_less(np.abs(counts - p), 5 * np.sqrt(p * (1 - p) / n) + 1e-12)


def test_ties() -> None:
    """As the docstrings promise: top_k keeps all that are as likely, top_p the first of them."""
    equal = minigen.zeros(1, 4)
    assert keep_likeliest(equal, 2).isinf().sum().item() == 0
    assert keep_nucleus(equal, 0.5).numpy().tolist() == [[0, 0, -math.inf, -math.inf]]
    assert keep_nucleus(equal, 0).numpy().tolist() == [[0, -math.inf, -math.inf, -math.inf]]
    assert next_token(equal, temperature=0).item() == 0


def test_all_of_the_probability_keeps_all_tokens() -> None:
    """Though in float32 the sum reaches 1 long before the last token."""
    logits = minigen.tensor([[0.0, -30.0, -40.0]])
    assert (keep_nucleus(logits, 1).numpy() == logits.numpy()).all()
    nothing = minigen.zeros(1, 0, dtype=minigen.int64)
    assert (Sampling(top_p=1).probabilities(logits, nothing).numpy() > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": -0.1}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_p": math.nan}, "top_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": math.inf}, "repetition_penalty"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


# ----------------------------------------------------------------------------- sequences


def models() -> list[GPT | RNN]:
    minigen.manual_seed(3)
    gpt = GPT(GPTConfig(vocabulary=11, context=8, layers=2, heads=2, width=16, bias=True))
    return [gpt.double(), RNN(RNNConfig(vocabulary=11, embedding=5, hidden=7)).double()]


@pytest.mark.parametrize("model", models(), ids=lambda model: type(model).__name__)
@pytest.mark.parametrize("steps", [[1] * 12, [3, 1, 2, 1, 1, 4], [8, 1, 1], [5, 3, 1], [20, 1]])
def test_reading_in_steps_equals_reading_anew(model: GPT | RNN, steps: list[int]) -> None:
    """The key-value cache, and the state, to the last digits; also beyond GPT's context of 8."""
    ids = minigen.from_numpy(np.random.default_rng(0).integers(0, 11, (2, sum(steps))))
    read = model.reader()
    end = 0
    for step in steps:
        logits = read(ids[:, end : end + step])
        end += step
        with evaluating(model):
            whole = model(ids[:, max(0, end - 8) : end] if isinstance(model, GPT) else ids[:, :end])
        anew = (whole if isinstance(model, GPT) else whole[0])[:, -1]
        np.testing.assert_allclose(logits.numpy(), anew.numpy(), rtol=0, atol=1e-12)


def test_the_options_reach_the_draw_of_each_token() -> None:
    """Greedy, with so high a penalty that a token never comes twice."""
    for model in models():
        start = minigen.tensor([[1], [2]])
        options = {"temperature": 0.0, "repetition_penalty": 1e6}
        written = model.generate(start, 7, **options).numpy()
        assert all(len(set(row)) == 8 for row in written.tolist())
        assert model.training


def test_readers_do_not_disturb_each_other_nor_the_model() -> None:
    model = models()[0]
    one, other = model.reader(), model.reader()
    a, b = minigen.tensor([[1, 2]]), minigen.tensor([[3]])
    one(a)
    first = other(b)
    one(b)
    np.testing.assert_array_equal(model.reader()(b).numpy(), first.numpy())
    assert model.training
    assert minigen.is_grad_enabled()
    tokens = write_tokens(model.reader(), a, 3, Sampling())
    next(tokens)
    assert minigen.is_grad_enabled()  # also between the pieces of an unfinished stream


# ----------------------------------------------------------------------------- text


@settings(max_examples=300)
@given(
    st.lists(st.text("ab<", max_size=4)),
    st.lists(st.text("ab<", min_size=1, max_size=4), max_size=3),
)
def test_a_text_ends_before_the_first_stop(pieces: list[str], stop: list[str]) -> None:
    text = "".join(pieces)
    taken = 0

    def counted() -> Iterator[str]:
        nonlocal taken
        for piece in pieces:
            taken += 1
            yield piece

    expected, end = text, 0
    # Up to the piece that completes a stop: another may begin earlier, but end later.
    for end in range(len(pieces) + 1):
        so_far = "".join(pieces[:end])
        ends = [so_far.find(s) for s in stop if s in so_far]
        if ends:
            expected = so_far[: min(ends)]
            break
    given_out = list(until(stop, counted()))
    assert "".join(given_out) == expected
    assert all(given_out)
    assert taken == end


def test_nothing_is_held_back_without_need() -> None:
    assert list(until(["end"], ["a", "e", "n", "x", "e"])) == ["a", "enx", "e"]


class Recited:
    """A model that says what it was told to, whatever it reads."""

    def __init__(self, ids: np.ndarray, vocabulary: int) -> None:
        self.ids, self.vocabulary, self.calls = iter(ids.tolist()), vocabulary, 0

    def __call__(self, ids: minigen.Tensor) -> minigen.Tensor:
        self.calls += 1
        return minigen.nn.functional.one_hot(
            minigen.tensor([next(self.ids)]), self.vocabulary
        ).float()


def test_text_comes_in_whole_characters() -> None:
    tokenizer = BytePairTokenizer.train("", 256)
    text = "é 🙂. 你好"
    ids = tokenizer.encode(text)
    pieces = write_text(Recited(ids, 256), tokenizer, "x", len(ids), Sampling(temperature=0))
    assert list(pieces) == list(text)
    read = Recited(ids, 256)
    pieces = write_text(read, tokenizer, "x", len(ids), Sampling(temperature=0), stop=["。", ". "])
    assert "".join(pieces) == "é 🙂"
    assert read.calls == len("é 🙂. ".encode())  # and not one more


def test_prompts_that_cannot_be_read_are_refused_at_once() -> None:
    read, tokenizer = Recited(np.zeros(1), 3), CharTokenizer("abc")
    with pytest.raises(ValueError, match="'x'"):
        write_text(read, tokenizer, "x", 1, Sampling())
    with pytest.raises(ValueError, match="at least one token"):
        write_text(read, tokenizer, "", 1, Sampling())
    with pytest.raises(ValueError, match="empty stop"):
        write_text(read, tokenizer, "a", 1, Sampling(), stop=["b", ""])
