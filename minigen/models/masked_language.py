"""Learning by filling gaps, as BERT does: J. Devlin et al., "BERT: Pre-training of Deep
Bidirectional Transformers for Language Understanding", 2019 (arXiv:1810.04805), section 3.1, "Task
#1: Masked LM", and appendix C.2.

Of 15 % of the tokens, chosen at random, the model has to say what they are. Eight of ten of these
are hidden behind [MASK]; but a text to be read later has no [MASK], and so one of ten is replaced
by a random token and one is left as it is: the model cannot trust what it sees, and must have an
opinion on every place.

Shapes: N sequences of T tokens, C channels, a vocabulary of V.
"""

from __future__ import annotations

import minigen
from minigen import Generator, Tensor
from minigen.models.bert import Bert
from minigen.models.sampling import Sampling, evaluating
from minigen.nn import functional as F

RATE, HIDDEN, REPLACED = 0.15, 0.8, 0.1  # of all tokens; of those chosen


def hide(
    ids: Tensor,
    tokens: int,
    mask_id: int,
    *,
    rate: float = RATE,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Tokens (N, T) -> what the model is shown, (N, T), and which it is asked for, bool (N, T).

    tokens: ordinary ones have the ids 0 to tokens - 1; one of them is what replaces another.

    >>> ids = minigen.zeros(2, 1000, dtype=minigen.int64)
    >>> shown, chosen = hide(ids, 10, 10, generator=Generator().manual_seed(0))
    >>> print(f"{chosen.sum().item() / 2000:.2f}, {(shown == 10).sum().item() / 2000:.2f}")
    0.14, 0.11
    >>> bool(((shown == 0) | chosen).all())  # what was not chosen is as it was
    True
    """
    uniform = [minigen.rand(*ids.shape, generator=generator, device=ids.device) for _ in range(3)]
    chosen = uniform[0] < rate
    others = (uniform[2] * tokens).to(minigen.int64)
    replaced = chosen & (uniform[1] >= HIDDEN) & (uniform[1] < HIDDEN + REPLACED)
    shown = minigen.where(replaced, others, ids)
    return shown.masked_fill(chosen & (uniform[1] < HIDDEN), mask_id), chosen


def masked_logits(model: Bert, shown: Tensor, chosen: Tensor) -> Tensor:
    """Logits of the M tokens that were chosen, in the order of reading: (N, T), (N, T) -> (M, V).

    The states of the others are not read out: of six of seven nobody asks.
    """
    return model.logits(model(shown)[chosen])  # (N, T, C) -> (M, C) -> (M, V)


def masked_loss(model: Bert, ids: Tensor, shown: Tensor, chosen: Tensor) -> Tensor:
    """-mean of ln p(x_t | shown) over the M chosen tokens, in nats a token.

    On a GPU, which would have to be waited for to learn M, all tokens are read out and the others
    weighed with 0.
    """
    if ids.is_cuda:
        logits = model.logits(model(shown)).flatten(0, 1)  # (N, T) -> (N, T, V) -> (N T, V)
        losses = F.cross_entropy(logits, ids.flatten(), reduction="none")  # (N T,)
        weights = chosen.flatten().to(losses.dtype)
        return (losses * weights).sum() / weights.sum()
    return F.cross_entropy(masked_logits(model, shown, chosen), ids[chosen])


def fill(
    model: Bert,
    ids: Tensor,
    mask_id: int,
    sampling: Sampling,
    generator: Generator | None = None,
) -> Tensor:
    """Fill the gaps of a text: int64 (T,) with `mask_id` in places -> the same without.

    Each time the gap of which the model is surest is filled, and the text is read anew, so that
    what fills one gap knows what is in the others.
    """
    filled = ids.clone()
    for _ in range(int(ids.eq(mask_id).sum())):
        gaps = filled.eq(mask_id).nonzero()[:, 0]  # (G,)
        with evaluating(model):
            logits = model.logits(model(filled[None]))[0, gaps]  # (1, T, V) -> (G, V)
        logits[:, mask_id] = -float("inf")  # it may not fill a gap with a gap
        place = int(F.softmax(logits, dim=-1).amax(dim=-1).argmax())
        token = sampling.draw(logits[place : place + 1], filled[None, :0], generator)  # (1, 1)
        filled[gaps[place]] = token[0, 0]
    return filled
