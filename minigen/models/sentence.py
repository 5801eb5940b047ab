"""Sentences as vectors: N. Reimers and I. Gurevych, "Sentence-BERT: Sentence Embeddings using
Siamese BERT-Networks", 2019 (arXiv:1908.10084).

BERT says what each token means in its place. The mean over the tokens of a sentence ("mean
pooling", section 3), scaled to length 1, says what the sentence means: of two such vectors the
product is the cosine of the angle between them, 1 for the same meaning and about 0 for nothing in
common. BERT has to be trained for that, on pairs of sentences that belong together; the weights of
such a model, all-MiniLM-L6-v2, are small enough for a laptop.

Shapes: N sentences of T tokens at most, C channels.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import minigen
from minigen import Tensor
from minigen.data.tokenizers.wordpiece import WordPieceTokenizer
from minigen.models.bert import Bert
from minigen.models.pretrained import load_pretrained
from minigen.models.pretrained.shards import read_json
from minigen.models.sampling import evaluating
from minigen.nn import functional as F


def mean_of_tokens(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the states of those tokens that are there: (N, T, C), (N, T) -> (N, C).

    mask: true or 1 for tokens, false or 0 for padding; at least one token in each row.

    >>> states = minigen.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    >>> mean_of_tokens(states, minigen.tensor([[1, 1, 0]]))
    tensor([[2., 3.]])
    """
    weights = mask.to(states.dtype)[:, :, None]  # (N, T) -> (N, T, 1)
    return (states * weights).sum(dim=1) / weights.sum(dim=1)


class SentenceEncoder:
    """BERT, its tokenizer, and how long a sentence may be.

    >>> from minigen.models.bert import BertConfig
    >>> tokenizer = WordPieceTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "to", "be"])
    >>> bert = Bert(BertConfig(vocabulary=len(tokenizer), layers=1, width=16, hidden=32))
    >>> vectors = SentenceEncoder(bert, tokenizer).encode(["To be", "to be", "be"])
    >>> (vectors @ vectors.T).round(4)[:2, :2]
    array([[1., 1.],
           [1., 1.]], dtype=float32)
    """

    def __init__(
        self, bert: Bert, tokenizer: WordPieceTokenizer, longest: int | None = None
    ) -> None:
        """longest: tokens of a sentence, [CLS] and [SEP] among them; None for BERT's context.

        Raises ValueError if the tokenizer has more tokens than BERT, or none for padding, or
        sentences could be longer than BERT's context or have no word.
        """
        longest = bert.config.context if longest is None else longest
        if len(tokenizer) > bert.config.vocabulary:
            raise ValueError(
                f"SentenceEncoder: the tokenizer has {len(tokenizer)} tokens, the model "
                f"{bert.config.vocabulary}"
            )
        if "[PAD]" not in tokenizer.special:
            raise ValueError("SentenceEncoder: the tokenizer has no [PAD]")
        if not 3 <= longest <= bert.config.context:
            raise ValueError(
                f"SentenceEncoder: longest must be from 3 to the model's context, "
                f"{bert.config.context}, got {longest}"
            )
        self.bert, self.tokenizer, self.longest = bert, tokenizer, longest

    def tokens(self, sentence: str) -> NDArray[np.int64]:
        """[CLS] sentence [SEP], cut after `longest - 1` tokens if it is too long."""
        ids = self.tokenizer.encode(sentence)
        return np.append(ids[: min(len(ids), self.longest) - 1], ids[-1])

    def encode(self, sentences: Sequence[str], batch_size: int = 32) -> NDArray[np.float32]:
        """The vectors of some sentences, each of length 1: (N, C).

        Sentences of similar length go together, so that little is padded.
        Raises TypeError for a string in the place of a list of them.
        """
        if isinstance(sentences, str):
            raise TypeError("SentenceEncoder.encode: expects a list of strings, got a string")
        ids = [self.tokens(sentence) for sentence in sentences]
        order = sorted(range(len(ids)), key=lambda place: len(ids[place]))
        vectors = np.empty((len(ids), self.bert.config.width), np.float32)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            vectors[places] = self._encode([ids[place] for place in places])
        return vectors

    def _encode(self, ids: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
        """A batch: N sequences of ids -> (N, C)."""
        lengths = np.array([len(each) for each in ids])
        padded = np.full((len(ids), lengths.max()), self.tokenizer.special["[PAD]"])  # (N, T)
        for row, each in zip(padded, ids):
            row[: len(each)] = each
        there = np.arange(padded.shape[1]) < lengths[:, None]  # (N, T)
        mask = minigen.from_numpy(there)
        with evaluating(self.bert):
            states = self.bert(minigen.from_numpy(padded), attention_mask=mask)  # (N, T, C)
            return F.normalize(mean_of_tokens(states, mask), dim=1).numpy()


def load_sentence_encoder(folder: str | os.PathLike[str]) -> SentenceEncoder:
    """The model of a folder as the `sentence-transformers` library has it: a BERT (see
    `load_pretrained`), `vocab.txt`, and the files that say how sentences are cut and pooled.

    Raises FileNotFoundError if a file is missing; ValueError if one is damaged, or if the model is
    no BERT or pools in another way than by the mean.
    """
    folder = Path(folder)
    bert = load_pretrained(folder)
    if not isinstance(bert, Bert):
        raise ValueError(f"{folder}: sentences need a BERT, this is a {type(bert).__name__}")
    pooling = _optional(folder / "1_Pooling" / "config.json")
    modes = {name for name, value in pooling.items() if name.startswith("pooling_mode_") and value}
    if modes - {"pooling_mode_mean_tokens"}:
        raise ValueError(f"{folder}: of ways to pool only the mean is offered, not {modes}")
    lowercase = _optional(folder / "tokenizer_config.json").get("do_lower_case", True)
    tokenizer = WordPieceTokenizer.load(folder / "vocab.txt", lowercase=bool(lowercase))
    longest = _optional(folder / "sentence_bert_config.json").get("max_seq_length")
    if longest is not None and type(longest) is not int:
        raise ValueError(f"{folder}: max_seq_length must be a whole number, got {longest!r}")
    try:
        return SentenceEncoder(bert, tokenizer, longest)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None


def _optional(path: Path) -> Any:
    """What a JSON file says; nothing if it is not there."""
    return read_json(path) if path.exists() else {}
