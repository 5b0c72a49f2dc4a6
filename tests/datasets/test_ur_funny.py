"""UR-FUNNY: the content of the six files is stored unchanged, and contradictions are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2d.datasets.ur_funny import formats
from g2d.datasets.ur_funny.reader import URFunnyOptions, plan_ur_funny
from g2d.datasets.ur_funny.sample import first_version, ur_funny_content
from g2d.datasets.ur_funny.sample import write_sample as write_ur_funny
from g2d.errors import DataError
from g2d.prepare import Decoded, Plan
from g2d.prepare import plainpickle as pickles
from g2d.prepare.plainpickle import child


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles without another process, which has tests of its own, to save time."""

    def read(path: Path, arguments: tuple[str, ...], *_: Any) -> None:
        _, kind, _, _, folder = arguments
        try:
            with path.open("rb") as file:
                formats.CONVERTERS[kind](child.read(file), Path(folder))
        except child.RefusedError as error:
            raise DataError(f"{path} must hold {error}.") from error

    monkeypatch.setattr(pickles, "_read", read)


WIDTHS = {"audio": 81, "visual": 371, "text": 300}


def planned(folder: Path, content: dict[str, Any], protocol: int = 4, **options: Any) -> Plan:
    write_ur_funny(folder, protocol, content)
    return plan_ur_funny(folder, URFunnyOptions(**options))


def decoded(plan: Plan, folder: Path, number: int) -> Decoded:
    return plan.decode(
        folder, next(sample for sample in plan.samples if sample.facts["number"] == number)
    )


def vectors(content: dict[str, Any], indexes: list[int]) -> Any:
    return np.array(content["word_embedding_list.pkl"])[indexes].astype(np.float16)


@pytest.mark.parametrize("protocol", [2, 5])
def test_punchlines_are_stored_as_in_the_files(tmp_path: Path, protocol: int) -> None:
    content = ur_funny_content()
    plan = planned(tmp_path, content, protocol, words=4)
    values = decoded(plan, tmp_path, 10).values
    assert {m: v.shape for m, v in values.items() if v is not None} == {
        m: (4, width) for m, width in WIDTHS.items()
    }
    for m, name in (("audio", "covarep_features_sdk.pkl"), ("visual", "openface_features_sdk.pkl")):
        assert np.array_equal(
            values[m], np.array(content[name][10]["punchline_features"], np.float32)[:4]
        )
    assert np.array_equal(
        values["text"],
        vectors(content, content["language_sdk.pkl"][10]["punchline_embedding_indexes"])[:4],
    )
    odd = decoded(plan, tmp_path, 7).values["audio"]
    assert odd is not None
    assert np.isnan(odd[0, 2])
    assert np.isfinite(odd).sum() == odd.size - 1
    cut = decoded(plan, tmp_path, 8)
    assert cut.warnings == ("its modalities have different numbers of words: cut to the shortest",)
    assert {mask.sum() for mask in cut.masks.values()} == {2}
    place = plan.protocols["ur_funny/legacy-994"]
    assert place[[sample.id for sample in plan.samples].index("00012")] == -1


def sentences_of(content: dict[str, Any], number: int, lengths: dict[str, list[int]]) -> None:
    """Give a sample a context with some words per sentence, numbered by sentence and word."""
    for m, name in (("audio", "covarep_features_sdk.pkl"), ("visual", "openface_features_sdk.pkl")):
        rows = [
            [[100.0 * j + w] * WIDTHS[m] for w in range(length)]
            for j, length in enumerate(lengths[m])
        ]
        content[name][number]["context_features"] = rows
    content["language_sdk.pkl"][number]["context_embedding_indexes"] = [
        [1 + j] * length for j, length in enumerate(lengths["text"])
    ]


def test_the_context_is_five_sentences_of_twenty_words(tmp_path: Path) -> None:
    content = ur_funny_content()
    many, few, none = [3, 25, 1, 4, 20, 2, 7], [2, 3], []
    for number, lengths in ((10, many), (11, few), (13, none)):
        sentences_of(content, number, dict.fromkeys(WIDTHS, lengths))
    plan = planned(tmp_path, content, context=True)
    assert next(iter(plan.protocols)) == "ur_funny/context-v1"
    for number, lengths in ((10, many), (11, few), (13, none)):
        row = decoded(plan, tmp_path, number)
        last = list(enumerate(lengths))[-5:]
        for m, width in WIDTHS.items():
            values, mask = row.values[f"{m}_context"], row.masks[f"{m}_context"]
            assert values is not None
            assert values.shape == (100, width)
            values, mask = values.reshape(5, 20, width), mask.reshape(5, 20)
            assert mask.sum(1).tolist() == [0] * (5 - len(last)) + [
                min(20, length) for _, length in last
            ], "the nearest sentence has the last place"
            assert (values[~mask] == 0).all()
            for place, (j, length) in enumerate(last, 5 - len(last)):
                kept = min(20, length)
                expected = (
                    vectors(content, [1 + j] * kept)
                    if m == "text"
                    else np.repeat(100.0 * j + np.arange(kept), width).reshape(kept, width)
                )
                assert np.array_equal(values[place, :kept], expected)
        assert row.warnings == ()


def test_a_context_that_differs_between_modalities_is_cut_and_counted(tmp_path: Path) -> None:
    content = ur_funny_content()
    sentences_of(content, 10, {"audio": [4, 2], "visual": [4, 3], "text": [3, 3]})
    sentences_of(content, 11, {"audio": [2, 2], "visual": [2], "text": [2, 2]})
    plan = planned(tmp_path, content, context=True)
    assert plan.report["context_cut_to_shortest"] == 2
    for number, expected in ((10, [0, 0, 0, 3, 2]), (11, [0, 0, 0, 0, 2])):
        row = decoded(plan, tmp_path, number)
        assert row.warnings == (
            "the sentences before it differ between its modalities: cut to the shortest",
        )
        for m in WIDTHS:
            assert row.masks[f"{m}_context"].reshape(5, 20).sum(1).tolist() == expected


@pytest.mark.parametrize(
    ("where", "wrong"), [("punchline", 20), ("punchline", -1), ("context", 9999), ("context", -1)]
)
def test_a_word_without_a_vector_is_refused(tmp_path: Path, where: str, wrong: int) -> None:
    content = ur_funny_content()
    indexes = content["language_sdk.pkl"][10][f"{where}_embedding_indexes"]
    (indexes[0] if where == "context" else indexes)[1] = wrong
    message = (
        r"language_sdk\.pkl must name words by their rows in word_embedding_list\.pkl \(0 to 19\), "
        rf"found {wrong} in the {where} of id 10\."
    )
    with pytest.raises(DataError, match=message):
        planned(tmp_path, content)


def test_ids_in_no_fold_are_reported(tmp_path: Path) -> None:
    content = ur_funny_content()
    del content["data_folds.pkl"]["train"][9:12]
    plan = planned(tmp_path, content)
    assert plan.report["without_fold"] == 3
    assert "3 ids have features but no fold; they are left out" in plan.warnings
    assert not [
        sentence
        for sentence in planned(tmp_path, ur_funny_content()).warnings
        if "no fold" in sentence
    ]


def test_strange_numbers_of_the_text_are_counted_too(tmp_path: Path) -> None:
    content = ur_funny_content()
    for word, value in ((17, np.nan), (18, -np.inf), (19, 1e30)):
        content["word_embedding_list.pkl"][word][3] = value
    content["language_sdk.pkl"][26]["punchline_embedding_indexes"] = [17, 18, 19, 0, 1]
    content["language_sdk.pkl"] |= {
        i: entry | {"punchline_embedding_indexes": [1] * len(entry["punchline_embedding_indexes"])}
        for i, entry in content["language_sdk.pkl"].items()
        if i != 26
    }
    plan = planned(tmp_path, content)
    assert plan.report["strange_numbers"]["text"]["dev"] == {
        "nan": 1,
        "+inf": 1,
        "-inf": 1,
        "zero_words": 1,
        "columns": [3],
    }
    assert plan.report["strange_numbers"]["text"]["test"] == {
        "nan": 0,
        "+inf": 0,
        "-inf": 0,
        "zero_words": 0,
        "columns": [],
    }
    stored = decoded(plan, tmp_path, 26).values["text"]
    assert stored is not None
    assert np.isnan(stored[:3, 3]).all(), "what half precision cannot hold counts as missing"


def test_version_1_has_protocols_of_its_own(tmp_path: Path) -> None:
    content = first_version(ur_funny_content())
    for context in (False, True):
        plan = planned(tmp_path, content, context=context)
        assert list(plan.protocols) == ["ur_funny/folds-v1"]
        assert plan.parameters["version"] == "v1"
        assert plan.official == 16_514
        assert not [sentence for sentence in plan.warnings if "994" in sentence]
        assert decoded(plan, tmp_path, 10).values["visual"].shape == (50, 75)
    with pytest.raises(DataError, match="text must be vectors for version 1 of UR-FUNNY"):
        planned(tmp_path, content, text="tokens")
    write_ur_funny(tmp_path, content={"language_sdk.pkl": ur_funny_content()["language_sdk.pkl"]})
    with pytest.raises(
        DataError,
        match=r"one version of UR-FUNNY, found language_sdk\.pkl and word_embedding_indexes_sdk",
    ):
        plan_ur_funny(tmp_path, URFunnyOptions())


def test_files_of_the_other_version_are_refused(tmp_path: Path) -> None:
    first, second = first_version(ur_funny_content()), ur_funny_content()
    face = "openface_features_sdk.pkl"
    with pytest.raises(DataError, match="must hold 75 numbers per word of id 1, found 371"):
        planned(tmp_path / "first", first | {face: second[face]})
    with pytest.raises(DataError, match="must hold 371 numbers per word of id 1, found 75"):
        planned(tmp_path / "second", second | {face: first[face]})
    with pytest.raises(DataError, match="must hold 300 numbers per word, found 50"):
        planned(
            tmp_path / "narrow",
            second
            | {"word_embedding_list.pkl": [row[:50] for row in second["word_embedding_list.pkl"]]},
        )


def test_a_damaged_conversion_is_repeated(tmp_path: Path) -> None:
    before = planned(tmp_path, ur_funny_content())
    for name in ("punch.npy", "context_offset.npy", "folds.json", "embedding.npy"):
        path = next((tmp_path / ".g2d-converted").glob(f"*/{name}"))
        path.write_bytes(path.read_bytes()[:100])
    after = plan_ur_funny(tmp_path, URFunnyOptions())
    assert after.parameters == before.parameters
    for m, values in decoded(before, tmp_path, 10).values.items():
        assert np.array_equal(decoded(after, tmp_path, 10).values[m], values)


def test_unusual_values_are_counted_by_fold(tmp_path: Path) -> None:
    content = ur_funny_content()
    content["data_folds.pkl"]["test"].append(1)
    content["openface_features_sdk.pkl"][25]["punchline_features"][0] = [0.0] * 371
    write_ur_funny(tmp_path, content=content)
    plan = plan_ur_funny(tmp_path, URFunnyOptions())
    assert ("00001", "duplicate") in [(skip.id, skip.reason) for skip in plan.skipped]
    assert len({sample.id for sample in plan.samples}) == len(plan.samples)
    strange = plan.report["strange_numbers"]
    assert strange["audio"]["train"] == {
        "nan": 0,
        "+inf": 0,
        "-inf": 1,
        "zero_words": 0,
        "columns": [2],
    }
    assert strange["visual"]["dev"] == {
        "nan": 0,
        "+inf": 0,
        "-inf": 0,
        "zero_words": 1,
        "columns": [],
    }
    assert plan.report["cut_to_shortest"] == 1
