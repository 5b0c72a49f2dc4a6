"""Steps for text: token ids from a vocabulary or a Hugging Face tokenizer, and one-hot symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import Tensor

from g2d.data.views.step import SYMBOLS, TEXT, Draw, Form, Step, plain
from g2d.errors import DataError
from g2d.files import import_extra
from g2d.types import Input, Sequence

PAD, UNKNOWN = "[PAD]", "[UNK]"
ENCODED = 64
"""Number of texts that are split at a time."""
WORD = r"\[[^\]\s]+\]|\w+(?:['’]\w+)*|[^\w\s]"
"""A token: a noise in brackets, a word with its apostrophes, or a punctuation mark."""


class OneHot(Step):
    """Convert symbol numbers ``(B, T)``, 0 for padding, to one-hot vectors ``(B, T, symbols)``.

    Args:
        symbols: Number of symbols, padding included.
    """

    takes: ClassVar[Form] = SYMBOLS
    name: Literal["one_hot"] = "one_hot"
    symbols: int = Field(ge=2)

    def __call__(self, values: Input, draw: Draw) -> Sequence:
        """Return a sequence in which padding is zero and masked.

        Raises:
            DataError: A number is greater than the number of symbols allows.
        """
        numbers = plain(values)
        if numbers.numel() and int(numbers.max()) >= self.symbols:
            raise DataError(
                f"symbols must be numbers from 0 (padding) to {self.symbols - 1}, "
                f"found {int(numbers.max())}."
            )
        real = numbers > 0
        return Sequence(F.one_hot(numbers.long(), self.symbols).float() * real[..., None], real)


class Tokens(Step):
    """Convert text, stored as UTF-8 bytes ``(B, L)``, to token ids ``(B, length)``.

    Without ``tokenizer``, tokens are lower-cased words, punctuation marks and noises in brackets;
    the vocabulary holds the most frequent tokens of the training rows, 0 is padding and 1 any
    unknown token. With ``tokenizer``, ids and special tokens are its own. A text without tokens
    becomes one unknown token.

    Args:
        length: Greatest number of tokens; longer texts keep their beginning.
        size: Size of the vocabulary, padding and unknown token included.
        least: Number of occurrences that a token needs to enter the vocabulary.
        tokenizer: Name of a Hugging Face tokenizer, or the local folder that contains it. Code of
            the tokenizer is never run.
        vocabulary: Tokens in the order of their ids; fitted if None.
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
        """Whether there is a tokenizer or a vocabulary."""
        return self.tokenizer is not None or self.vocabulary is not None

    def fit(self, training: Iterable[Input]) -> Self:
        """Return the step with the most frequent tokens, equally frequent ones in alphabetic order.

        Args:
            training: Blocks of training rows.
        """
        library = _tokenizers()
        words = _splitter(library.models.WordLevel(unk_token=UNKNOWN))
        trainer = library.trainers.WordLevelTrainer(
            vocab_size=self.size,
            min_frequency=self.least,
            special_tokens=[PAD, UNKNOWN],
            show_progress=False,
        )
        words.train_from_iterator(
            (text for block in training for text in texts(plain(block))), trainer
        )
        ids = words.get_vocab()
        return self.model_copy(update={"vocabulary": tuple(sorted(ids, key=ids.__getitem__))})

    def __call__(self, values: Input, draw: Draw) -> Sequence:
        """Return a sequence of token ids."""
        stored = plain(values)
        if self.tokenizer is None:
            rows, symbols, padding = self._from_vocabulary(list(texts(stored)))
        else:
            rows, symbols, padding = _from_hugging_face(
                self.tokenizer, list(texts(stored)), self.length
            )
        ids = torch.full((len(rows), self.length), padding, dtype=torch.int64)
        mask = torch.zeros(len(rows), self.length, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return Sequence(ids.to(stored.device), mask.to(stored.device), symbols, self.tokenizer)

    def _from_vocabulary(self, given: list[str]) -> tuple[list[list[int]], int, int]:
        """Return token ids per text, the number of symbols, and the id of padding."""
        assert self.vocabulary is not None
        encodings = _words(self.vocabulary).encode_batch(given)
        rows = [encoding.ids[: self.length] or [1] for encoding in encodings]
        return rows, len(self.vocabulary), 0


def token_ends(given: list[str]) -> Iterator[NDArray[np.int64]]:
    """Yield where the tokens of each text end, in bytes; tokens are those without tokenizer.

    Args:
        given: Texts.

    Example:
        >>> [ends.tolist() for ends in token_ends(["Isn't it \u00e9t\u00e9?", ""])]
        [[5, 8, 14, 15], []]
    """
    words = _splitter(_tokenizers().models.WordLevel({UNKNOWN: 0}, unk_token=UNKNOWN))
    for start in range(0, len(given), ENCODED):
        some = given[start : start + ENCODED]
        for text, encoding in zip(some, words.encode_batch(some), strict=True):
            after = np.fromiter((len(sign.encode(errors="replace")) for sign in text), np.int64)
            yield after.cumsum()[[end - 1 for _, end in encoding.offsets]]


def texts(stored: Tensor) -> Iterator[str]:
    """Yield the text of every row of UTF-8 bytes, without the zeros that pad it."""
    for row in stored.cpu().numpy():
        yield row.tobytes().rstrip(b"\0").decode("utf-8", errors="replace")


def _tokenizers() -> Any:
    return import_extra("tokenizers", "hf", "the step 'tokens'")


def _splitter(model: Any) -> Any:
    """Return a tokenizer that splits lower-cased text into tokens as :data:`WORD` defines them."""
    library = _tokenizers()
    normalizers, splitters = library.normalizers, library.pre_tokenizers
    words = library.Tokenizer(model)
    words.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    words.pre_tokenizer = splitters.Split(library.Regex(WORD), behavior="removed", invert=True)
    return words


@lru_cache(maxsize=8)
def _words(vocabulary: tuple[str, ...]) -> Any:
    number = {word: i for i, word in enumerate(vocabulary)}
    return _splitter(_tokenizers().models.WordLevel(number, unk_token=UNKNOWN))


def _from_hugging_face(
    name: str, given: list[str], length: int
) -> tuple[list[list[int]], int, int]:
    """Return token ids per text, the number of symbols, and the id of padding."""
    tokenizer = _fetched(name)
    rows = tokenizer(given, truncation=True, max_length=length, padding=False)["input_ids"]
    padding = tokenizer.pad_token_id or 0
    return [row or [padding] for row in rows], len(tokenizer), padding


@lru_cache(maxsize=8)
def _fetched(name: str) -> Any:
    library = import_extra("transformers", "hf", f"the tokenizer {name!r}")
    try:
        return library.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(
            f"the tokenizer {name!r} must be one that can be downloaded or a local folder with "
            "tokenizer.json, found neither. Leave tokenizer out to build a vocabulary from the "
            "training rows, which needs no download."
        ) from error
