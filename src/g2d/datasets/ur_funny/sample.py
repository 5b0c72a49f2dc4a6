"""A made-up sample of UR-FUNNY: the six pickles of version 2, with the faults of the real ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

IDS = list(range(1, 37))
PLANTED = {"00003": "missing-file", "00004": "no-agreed-label", "00005": "zero-length"}
"""Broken rows, and the reason for which each must be skipped.

Row 7 holds -inf, the modalities of row 8 differ in length, and row 12 has no text.
"""


def ur_funny_content() -> dict[str, Any]:
    """Return the content of the files by name; the features depend a little on the label."""
    rng = np.random.default_rng(0)
    language: dict[int, Any] = {}
    covarep: dict[int, Any] = {}
    openface: dict[int, Any] = {}
    label: dict[int, Any] = {}
    for i in IDS:
        w = 0 if i == 5 else 3 + i % 4
        label[i] = 2 if i == 4 else i % 2
        language[i] = {
            "punchline_embedding_indexes": [0] * w if i == 12 else rng.integers(1, 20, w).tolist(),
            "context_embedding_indexes": [rng.integers(1, 20, 4).tolist() for _ in range(i % 3)],
            "punchline_sentence": 'and that is "why" I laugh',
            "context_sentences": ["so it began"] * (i % 3),
            "punchline_intervals": [[0.0, 1.0]] * w,
            "context_intervals": [[[0.0, 1.0]] * 4] * (i % 3),
        }
        shift = float(i % 2)
        covarep[i] = _features(rng, w, 81, i % 3, shift)
        openface[i] = _features(rng, w, 371, i % 3, shift)
    covarep[7]["punchline_features"][0][2] = float("-inf")
    openface[8]["punchline_features"].pop()
    del covarep[3]
    vectors = rng.normal(size=(20, 300)).astype(np.float32)
    vectors[0] = 0
    return {
        "data_folds.pkl": {"train": IDS[:24], "dev": IDS[24:30], "test": IDS[30:]},
        "language_sdk.pkl": language,
        "covarep_features_sdk.pkl": covarep,
        "openface_features_sdk.pkl": openface,
        "humor_label_sdk.pkl": label,
        "word_embedding_list.pkl": list(vectors),
    }


def first_version(content: dict[str, Any]) -> dict[str, Any]:
    """Return the same content in the form of version 1.

    Word indexes have a last axis of length one, sentences are missing, and the face has 75
    numbers.

    Args:
        content: Content of the files by name, as :func:`ur_funny_content` returns it.
    """
    language, face = content["language_sdk.pkl"], content["openface_features_sdk.pkl"]
    indexes = {
        i: {
            "punchline_embedding_indexes": [
                [word] for word in entry["punchline_embedding_indexes"]
            ],
            "context_embedding_indexes": [
                [[word] for word in sentence] for sentence in entry["context_embedding_indexes"]
            ],
        }
        for i, entry in language.items()
    }
    short = {
        i: {
            "punchline_features": [row[:75] for row in entry["punchline_features"]],
            "context_features": [
                [row[:75] for row in sentence] for sentence in entry["context_features"]
            ],
        }
        for i, entry in face.items()
    }
    kept = {name: value for name, value in content.items() if value is not language}
    return kept | {"word_embedding_indexes_sdk.pkl": indexes, "openface_features_sdk.pkl": short}


def write_sample(
    folder: Path, protocol: int = 4, content: dict[str, Any] | None = None
) -> dict[str, str]:
    """Write the six files.

    Args:
        folder: Folder to write to.
        protocol: Version of the pickle format.
        content: Content of the files by name; :func:`ur_funny_content` by default.

    Returns:
        The broken rows, and the reason for which each must be skipped.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in (content or ur_funny_content()).items():
        (folder / name).write_bytes(pickle.dumps(value, protocol))
    return PLANTED


def _features(
    rng: np.random.Generator, words: int, width: int, sentences: int, shift: float
) -> dict[str, Any]:
    """Return the features of a punchline of some words, and of context sentences."""
    rows = rng.normal(shift, 1, (words, width)).astype(np.float32)
    return {
        "punchline_features": [row.tolist() for row in rows],
        "context_features": [rng.normal(size=(4, width)).tolist() for _ in range(sentences)],
    }
