"""Raw text as token ids: a vocabulary built from the training split, or any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import TEXT, Draw, Form, Step, plain
from g2d.errors import DataError
from g2d.types import Input, Sequence

PAD, UNKNOWN = "[PAD]", "[UNK]"
WORD = r"\[[^\]\s]+\]|\w+(?:['’]\w+)*|[^\w\s]"
"""A noise in brackets, a word with its apostrophes, or a mark."""


class Tokens(Step):
    """UTF-8 bytes ``(B, L)`` as a :class:`~g2d.types.Sequence` of token ids ``(B, length)``; a text without tokens is one unknown token.

    Without ``tokenizer``, tokens are lower-cased words, marks and bracketed noises, and the vocabulary holds the most frequent of the
    training rows: 0 is padding, 1 whatever it does not hold. With one, its own ids and special tokens.

    Args:
        length: tokens kept, from the start. size: of the vocabulary, padding and unknown included. least: occurrences a word needs.
        tokenizer: name of a Hugging Face tokenizer, or the local folder that holds it (its own code is never run).
        vocabulary: fitted.
    """

    takes: ClassVar[Form] = TEXT
    name: Literal["tokens"] = "tokens"
    length: int = Field(64, ge=1)
    size: int = Field(10_000, ge=3)
    least: int = Field(1, ge=1)
    tokenizer: str | None = None
    vocabulary: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _padding_and_unknown_first(self) -> Self:
        if self.vocabulary is not None and self.vocabulary[:2] != (PAD, UNKNOWN):
            raise ValueError(
                f"vocabulary must begin with {PAD} and {UNKNOWN}, found {list(self.vocabulary[:2])}"
            )
        return self

    @property
    def fitted(self) -> bool:
        return self.tokenizer is not None or self.vocabulary is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """The most frequent words, equal ones in order of the alphabet."""
        from tokenizers.models import WordLevel
        from tokenizers.trainers import WordLevelTrainer

        words = _splitter(WordLevel(unk_token=UNKNOWN))
        trainer = WordLevelTrainer(
            vocab_size=self.size,
            min_frequency=self.least,
            special_tokens=[PAD, UNKNOWN],
            show_progress=False,
        )
        words.train_from_iterator(
            (text for block in training for text in texts(plain(block))), trainer
        )
        known = words.get_vocab()
        return self.model_copy(
            update={"vocabulary": tuple(sorted(known, key=lambda word: known[word]))}
        )

    def __call__(self, values: Input, draw: Draw) -> Sequence:
        stored = plain(values)
        given = list(texts(stored))
        rows, symbols, padding = (
            self._from_vocabulary(given)
            if self.tokenizer is None
            else _from_hugging_face(self.tokenizer, given, self.length)
        )
        ids = torch.full((len(rows), self.length), padding, dtype=torch.int64)
        mask = torch.zeros(len(rows), self.length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return Sequence(ids.to(stored.device), mask.to(stored.device), symbols, self.tokenizer)

    def _from_vocabulary(self, given: list[str]) -> tuple[list[list[int]], int, int]:
        assert self.vocabulary is not None
        words = _words(self.vocabulary)
        return (
            [encoding.ids[: self.length] or [1] for encoding in words.encode_batch(given)],
            len(self.vocabulary),
            0,
        )


def texts(stored: Tensor) -> Iterator[str]:
    """Texts of rows of UTF-8 bytes, padded with zeros."""
    for row in stored.cpu().numpy():
        yield row.tobytes().rstrip(b"\0").decode("utf-8", errors="replace")


def _splitter(model: Any) -> Any:
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

    words = Tokenizer(model)
    words.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    words.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    return words


@lru_cache(maxsize=8)
def _words(vocabulary: tuple[str, ...]) -> Any:
    from tokenizers.models import WordLevel

    return _splitter(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))


def _from_hugging_face(
    name: str, given: list[str], length: int
) -> tuple[list[list[int]], int, int]:
    tokenizer = _fetched(name)
    rows = tokenizer(given, truncation=True, max_length=length, padding=False)["input_ids"]
    padding = tokenizer.pad_token_id or 0
    return [row or [padding] for row in rows], len(tokenizer), padding


@lru_cache(maxsize=8)
def _fetched(name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the tokenizer {name!r} must be one that can be fetched or a local folder with tokenizer.json, found neither. "
            f"Leave tokenizer out to build a vocabulary from the training rows, which needs no download."
        ) from error
