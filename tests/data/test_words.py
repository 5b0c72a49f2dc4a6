"""Raw text: a vocabulary from the training rows, or a tokenizer from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from g2d.data.views import Chain, read_chain
from g2d.data.views.words import PAD, UNKNOWN, Tokens
from g2d.datasets.decoding import text_bytes
from g2d.encoders import build_encoder
from g2d.errors import DataError
from g2d.types import Sequence


def stored(*texts: str) -> Tensor:
    return torch.from_numpy(np.stack([text_bytes(text, 60) for text in texts]))


def tokens(chain: Chain, values: Tensor) -> Sequence:
    seen = chain(values, seed=0, epoch=0, index=torch.arange(len(values)), train=False)
    assert isinstance(seen, Sequence)
    return seen


TRAIN = ("Don't go, don't!", "go [LAUGHTER] home", "GO home")


def fitted(**options: object) -> Chain:
    return read_chain("text", [{"name": "tokens", "length": 6, **options}]).fitted(
        lambda: iter([stored(*TRAIN)])
    )


def test_the_vocabulary_holds_the_training_words_by_frequency() -> None:
    step = fitted().steps[0]
    assert isinstance(step, Tokens)
    assert step.vocabulary == (PAD, UNKNOWN, "go", "don't", "home", "!", ",", "[laughter]")


def test_unknown_words_and_padding_have_their_numbers() -> None:
    seen = tokens(fitted(), stored("Go, stranger", ""))
    assert seen.values.tolist() == [[2, 6, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    assert seen.mask.sum(1).tolist() == [3, 1]
    assert seen.symbols == 8


def test_long_texts_are_cut_and_small_vocabularies_keep_the_most_frequent() -> None:
    seen = tokens(fitted(size=4), stored("go home go home go home go"))
    assert seen.values.tolist() == [[2, 1, 2, 1, 2, 1]]


def test_a_transformer_reads_the_size_of_the_vocabulary_from_the_data() -> None:
    seen = tokens(fitted(), stored(*TRAIN))
    assert build_encoder("transformer", seen, width=8)(seen).pooled.shape == (3, 8)


def test_texts_are_cut_at_whole_characters() -> None:
    assert text_bytes("né", 2).tobytes() == b"n\0"


def test_a_tokenizer_of_hugging_face_is_read_from_a_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(
        models.WordLevel({"<pad>": 0, "<unk>": 1, "go": 2, "home": 3}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(tmp_path)
    seen = tokens(
        read_chain("text", [{"name": "tokens", "length": 4, "tokenizer": str(tmp_path)}]),
        stored("go home", "go far away now and then"),
    )
    assert seen.values.tolist() == [[2, 3, 0, 0], [2, 1, 1, 1]]
    assert seen.mask.sum(1).tolist() == [2, 4]
    assert seen.symbols == 4
    assert seen.tokenizer == str(tmp_path)
    assert tokens(fitted(), stored("go")).tokenizer is None


def test_a_tokenizer_that_is_nowhere_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Leave tokenizer out"):
        tokens(
            read_chain("text", [{"name": "tokens", "tokenizer": str(tmp_path / "none")}]),
            stored("go"),
        )
