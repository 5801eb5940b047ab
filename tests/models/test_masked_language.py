"""Gaps: how they are made, what is asked, how they are filled; and what counting makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import minigen
from minigen import Generator
from minigen.models import Bert, BertConfig, Sampling
from minigen.models.masked_language import fill, hide, masked_logits, masked_loss
from minigen.nn import functional as F
from minigen.training.recipes import gaps
from minigen.training.recipes.bert import encode_gaps, judge_gaps, with_gaps
from minigen.training.recipes.gaps import gap_table

V, GAP = 20, 20


def small_bert() -> Bert:
    config = BertConfig(
        V + 1, 12, layers=2, width=16, hidden=24, pooler=False, masked_language_model=True
    )
    return Bert(config).double()


@pytest.mark.parametrize("v", [2, V])
def test_shares_of_what_is_hidden_replaced_and_left(v: int) -> None:
    """200,000 tokens: each share lies within 4 standard errors of the paper's."""
    ids = minigen.randint(0, v, (100, 2000), generator=Generator().manual_seed(1))
    shown, chosen = hide(ids, v, GAP, generator=Generator().manual_seed(2))
    x, s, c = ids.numpy(), shown.numpy(), chosen.numpy()
    assert np.array_equal(s[~c], x[~c])
    asked = int(c.sum())
    # A random token is, once in V times, the one that was there.
    shares = {0.8: (s[c] == GAP).mean(), 0.1 * (1 - 1 / v): ((s != x) & (s != GAP))[c].mean()}
    for expected, found in shares.items():
        error = np.sqrt(expected * (1 - expected) / asked)
        assert abs(found - expected) < 4 * error, (expected, found)
    assert abs(c.mean() - 0.15) < 4 * np.sqrt(0.15 * 0.85 / c.size)
    others = s[c & (s != x) & (s != GAP)]
    counts = np.bincount(others, minlength=v)
    assert len(counts) == v  # all tokens, and no other id
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 45  # chi square, 19 degrees


def test_the_loss_asks_for_the_chosen_tokens_only() -> None:
    model = small_bert().eval()
    ids = minigen.randint(0, V, (3, 12), generator=Generator().manual_seed(3))
    shown, chosen = hide(ids, V, GAP, rate=0.4, generator=Generator().manual_seed(4))
    logits = model.logits(model(shown)).detach().numpy()
    targets = np.where(chosen.numpy(), ids.numpy(), -100)  # what torch leaves out
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).flatten(0, 1), torch.from_numpy(targets).flatten()
    )
    loss = masked_loss(model, ids, shown, chosen)
    assert abs(loss.item() - expected.item()) < 1e-12
    np.testing.assert_allclose(
        masked_logits(model, shown, chosen).detach().numpy(), logits[chosen.numpy()], atol=1e-12
    )


def test_a_model_that_knows_the_answer_has_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging asks for the right tokens at the right places, the same ones each time."""
    model = small_bert().train()
    ids = minigen.randint(0, V, (70, 12), generator=Generator().manual_seed(5))
    seen = iter([ids[:64], ids[64:], ids[:64], ids[64:]])
    monkeypatch.setattr(model, "logits", lambda states: states)
    answer = lambda shown: 50.0 * F.one_hot(next(seen), V + 1).double()  # noqa: E731
    monkeypatch.setattr(model, "forward", answer)
    found = judge_gaps(model, ids, GAP)
    assert found == judge_gaps(model, ids, GAP)
    assert found["masked_accuracy"] == 100
    assert 0 <= found["masked_loss"] < 1e-12
    assert model.training


def test_gaps_are_filled_the_surest_first() -> None:
    model = small_bert()
    with minigen.no_grad():
        for parameter in model.parameters():
            parameter *= 20  # so that what stands in one gap matters for the others
    ids = minigen.randint(0, V, (12,), generator=Generator().manual_seed(6))
    ids[3:10] = GAP
    filled = fill(model, ids, GAP, Sampling(temperature=0)).numpy()
    expected = ids.numpy().copy()
    model.eval()
    while (expected == GAP).any():  # once more, with torch's softmax
        logits = model.logits(model(minigen.from_numpy(expected[None])))[0].detach().numpy()
        logits[:, GAP] = -np.inf
        p = torch.softmax(torch.from_numpy(logits), -1).numpy()
        gaps = np.flatnonzero(expected == GAP)
        place = max(gaps, key=lambda gap: p[gap].max())
        expected[place] = p[place].argmax()
    np.testing.assert_array_equal(filled, expected)
    assert int(ids.eq(GAP).sum()) == 7  # the text itself is left alone
    kept = np.delete(np.arange(12), np.arange(3, 10))
    np.testing.assert_array_equal(filled[kept], ids.numpy()[kept])


def test_prompts_with_gaps() -> None:
    from minigen.data import CharTokenizer

    tokenizer = CharTokenizer("abc \n")
    ids = encode_gaps("a_c_", tokenizer, 9, 4).numpy()
    assert ids.tolist() == [tokenizer.encode("a")[0], 9, tokenizer.encode("c")[0], 9]
    with pytest.raises(ValueError, match="5 characters do not fit into a context of 4"):
        encode_gaps("abcab", tokenizer, 9, 4)
    with pytest.raises(ValueError, match="'x'"):
        encode_gaps("x_", tokenizer, 9, 4)
    assert with_gaps("abc\nefghijk") == "abc\nefghij_"


def test_counting_what_stands_between() -> None:
    """In 'xay' and 'xby' two thirds are a: p(a | x, y) by hand, and every p adds up to one."""
    a, b, x, y = range(4)
    ids = np.array([[x, a, y, x, a, y, x, b, y]])
    table = gap_table(ids, ids, 4)
    np.testing.assert_allclose(table.sum(-1), 1, atol=1e-12)
    # Inner symbols: a y x a y x b.  kinds: 4 in all, of 7; after x: a, a, b.
    alone = (np.array([2, 1, 2, 2]) + 4 * 0.25) / (7 + 4)
    after_x = (np.array([2, 1, 0, 0]) + 2 * alone) / (3 + 2)
    np.testing.assert_allclose(table[x, y], (np.array([2, 1, 0, 0]) + 2 * after_x) / (3 + 2))
    np.testing.assert_allclose(table[x, b], after_x)  # never seen together
    np.testing.assert_allclose(table[4, 4], alone)  # gaps on both sides, never seen


def test_counting_knows_a_text_that_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """In abcabc... each neighbour alone gives a gap away, in this order and in no other."""
    monkeypatch.setattr(gaps, "plays", lambda characters: ("abc" * 3000, "bca" * 1000))
    found = gaps.count_gaps.__wrapped__(None)
    assert found["gap_accuracy"] > 85  # but for neighbours that are hidden or replaced
    assert found["gap_loss"] < 0.4
