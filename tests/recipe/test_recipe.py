"""Recipes: what is refused, in whose words, and what is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from g2d.errors import RecipeError
from g2d.methods import G2D
from g2d.modulations import SMP
from g2d.plainyaml import parse
from g2d.recipe import Recipe
from g2d.recipe.reading import override

RECIPES = Path(__file__).parents[2] / "recipes"
TWO = {"data": "digits", "encoders": {"image": "cnn", "tone": "mlp"}}


def faults(content: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_mapping(content)
    return list(caught.value.faults)


def faults_of(name: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.load(RECIPES / "digits" / f"{name}.yaml", overrides)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    "path", sorted((RECIPES / "digits").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_committed_recipe_is_valid_and_reads_back_as_itself(path: Path) -> None:
    recipe = Recipe.load(path)
    assert Recipe.from_mapping(parse(recipe.to_yaml(), "resolved")) == recipe
    assert "root" not in recipe.to_yaml()


def test_all_faults_come_at_once_in_the_users_spelling_with_the_nearest_valid_name() -> None:
    found = faults_of("g2d", "method.aplha=2", "epochs=many")
    assert found == [
        "epochs must be a whole number or null, found 'many'.",
        "method.aplha must be a known key of g2d, found no such key. Did you mean 'method.alpha'?",
    ]


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("sede=1", "sede must be a known key of a recipe, found no such key. Did you mean 'seed'?"),
        (
            "data.setting=memoriser",
            "data.setting must be one of 'memorizer', 'mild', 'trio', 'lookalike', 'balanced', 'dead', found 'memoriser'.",
        ),
        ("data.eval_draws=0", "data.eval_draws must be greater than or equal to 1, found 0."),
        ("data=digit", "data must name a data set (av_mnist, avdigits, crema_d, digits"),
        (
            "encoders.image.widht=3",
            "encoders.image.widht must be a known key of cnn, found no such key. Did you mean 'encoders.image.widths'?",
        ),
        ("encoders.tone=mpl", "encoders.tone must name an encoder (cnn, mlp, "),
        ("fusion=latte", "Did you mean 'late'?"),
        ("method=g2", "Did you mean 'g2d'?"),
        (
            "method.tau=[5,5,5]",
            "method.tau must hold one length per modality (2: image, tone), found [5, 5, 5].",
        ),
        ("method.tau=[-1,5]", "tau must hold one non-negative length per stage"),
        (
            "method.ranking=loudest",
            "method.ranking must be one of 'batch', 'epoch', 'dataset', 'validation', 'memorization', found 'loudest'.",
        ),
        (
            "method.alpha={imgae: 1}",
            "method.alpha.imgae must be a known key of the modalities, found no such key. Did you mean 'method.alpha.image'?",
        ),
        (
            "epochs=20",
            "epochs must be the sum of tau or left out, found epochs=20 and method.tau=[15, 15], whose sum is 30.",
        ),
        ("train.epochs=3", "train.epochs must stand outside the section 'train'"),
        ("train.lr=fast", "train.lr must be a number, found 'fast'."),
        ("train.lr=-1", "lr must be positive, found -1"),
        ("train.group_lr={imag: 0.1}", "Did you mean 'train.group_lr.image'?"),
        ("train=3", "train must be a mapping of keys to values, found 3."),
        (
            "teachers.sed=1",
            "teachers.sed must be a known key of teachers, found no such key. Did you mean 'teachers.seed'?",
        ),
        (
            "teachers.distil_checkpoint=first",
            "teachers.distil_checkpoint must be one of 'best', 'last', found 'first'.",
        ),
        ("warm_start=1", "warm_start must be true or false, found 1."),
        ("seed=true", "seed must be a whole number, found True."),
        ("name.first=1", "name.first must lie in a section, found the value 'digits-g2d' at name."),
        ("controls", "an override must be written key=value, found 'controls'."),
        ("name=[", "name must be a YAML value"),
    ],
)
def test_what_is_wrong_is_named(assignment: str, sentence: str) -> None:
    found = faults_of("g2d", assignment)
    assert any(sentence in fault for fault in found), found


def test_a_modulation_has_the_same_manners_as_a_method() -> None:
    assert faults_of("joint_smp", "method.modulation.tua=[5,5]") == [
        "method.modulation.tua must be a known key of smp, found no such key. Did you mean 'method.modulation.tau'?"
    ]
    assert "is 30" in faults_of("joint_smp", "epochs=20")[0]
    assert (
        "must be left out for ume, which takes none"
        in faults_of("ume", "method.modulation.name=smp")[0]
    )


def test_ume_has_no_epochs_and_its_teachers_need_theirs() -> None:
    assert Recipe.load(RECIPES / "digits" / "ume.yaml").train.epochs == 0
    assert "epochs of ume must be 0 or left out, found 5" in faults_of("ume", "epochs=5")[0]
    assert faults_of("ume", "teachers=null") == [
        "teachers.epochs must be 1 or more, found 0, the student's. Give teachers.epochs."
    ]


def test_what_is_missing_is_named() -> None:
    assert faults({}) == [
        "data must be given, found nothing: a name, or a mapping with a name.",
        "encoders must be a mapping of modalities to encoders, found None.",
        "method must be given, found nothing: a name, or a mapping with a name.",
    ]
    assert faults({**TWO, "method": "joint"}) == [
        "epochs must be given, found nothing: joint has no tau whose sum could stand in."
    ]
    assert faults({**TWO, "method": {"tau": [1, 1]}}) == [
        "method.name must be given, found only tau."
    ]
    assert faults({**TWO, "method": "g2d_released"}) == [
        "epochs must be given, found nothing: g2d_released has no tau whose sum could stand in."
    ]


def test_encoders_and_modalities_must_agree() -> None:
    found = faults(
        {
            "data": {"name": "digits", "modalities": ["image", "word"]},
            "encoders": {"image": "cnn", "wrod": "mlp"},
            "method": "joint",
            "epochs": 1,
        }
    )
    assert any(
        "encoders.wrod" in fault and "Did you mean 'encoders.word'?" in fault for fault in found
    )
    assert "encoders.word must be given, found none for this modality of the data." in found


def test_the_encoders_say_which_modalities_are_wanted() -> None:
    recipe = Recipe.from_mapping(
        {
            "data": "digits",
            "encoders": {"tone": "mlp", "word": "transformer"},
            "method": "joint",
            "epochs": 1,
        }
    )
    assert recipe.build_source().modalities == ("tone", "word")


def test_only_plain_values_are_read() -> None:
    with pytest.raises(RecipeError, match="must be plain YAML"):
        parse("x: !!python/object/apply:os.getcwd []", "file")
    with pytest.raises(RecipeError, match="the key 'a' is given twice \\(line 2, column 1\\)"):
        parse("a: 1\na: 2", "file")
    assert parse("{a: 1e-3, b: 1.5, c: 12, d: 2026-01-01, e: .inf}", "file") == {
        "a": 0.001,
        "b": 1.5,
        "c": 12,
        "d": "2026-01-01",
        "e": float("inf"),
    }


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="must be a readable YAML file"):
        Recipe.load(tmp_path / "nothing.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RecipeError, match="must be a mapping of keys to values, found list"):
        Recipe.load(tmp_path / "list.yaml")


def test_an_override_opens_the_long_form_and_leaves_the_original_alone() -> None:
    content = {"encoders": {"image": "cnn"}, "method": "joint"}
    changed = override(content, ["encoders.image.pool=1", "method.modulation.tau=[1, 1]"], [])
    assert changed == {
        "encoders": {"image": {"name": "cnn", "pool": 1}},
        "method": {"name": "joint", "modulation": {"tau": [1, 1]}},
    }
    assert content == {"encoders": {"image": "cnn"}, "method": "joint"}


@pytest.mark.parametrize(
    ("method", "resolved"),
    [
        ("g2d", [2, 3]),
        ({"name": "g2d", "tau": [0.2, 0.8]}, [1, 4]),
        ({"name": "g2d", "tau": [0, 5]}, [0, 5]),
        ({"name": "g2d", "tau": "none"}, "none"),
        ({"name": "g2d", "tau": None}, "none"),
        ({"name": "joint", "modulation": "smp"}, [2, 3]),
        ({"name": "joint", "modulation": {"name": "smp", "tau": [0.5, 0.5]}}, [2, 3]),
    ],
)
def test_tau_is_resolved_by_the_length_of_the_run(method: Any, resolved: Any) -> None:
    recipe = Recipe.from_mapping({**TWO, "method": method, "epochs": 5})
    again = Recipe.from_mapping(recipe.resolved())
    for option in (recipe.modulation or recipe.method, again.modulation or again.method):
        assert option.options["tau"] == resolved
    assert again == recipe


def test_a_run_too_short_for_the_default_stages_is_refused() -> None:
    assert faults({**TWO, "method": "g2d", "epochs": 1}) == [
        "epochs must be 2 or more to give each stage an epoch, found 1."
    ]


def test_the_epochs_are_the_sum_of_tau_and_teachers_follow_the_student() -> None:
    recipe = Recipe.load(RECIPES / "digits" / "g2d.yaml", ["method.tau=[5,5]", "seed=3"])
    assert (recipe.train.epochs, recipe.teachers.train.epochs, recipe.teachers.train.seed) == (
        10,
        10,
        3,
    )
    pinned = Recipe.load(
        RECIPES / "digits" / "g2d.yaml", ["seed=3", "teachers.seed=0", "teachers.train.lr=0.5"]
    )
    assert (pinned.train.lr, pinned.teachers.train.lr, pinned.teachers.train.seed) == (0.01, 0.5, 0)
    assert pinned.changed(seed=4).train.seed == 4
    assert pinned.changed(seed=4).teachers.train.seed == 0


def test_a_recipe_builds_what_it_names() -> None:
    recipe = Recipe.load(
        RECIPES / "digits" / "joint_smp.yaml",
        ["method.modulation.tau=[1,2]", "encoders.tone.widths=[8, 5]"],
    )
    source = recipe.build_source()
    model, method = recipe.build_untrained(source)
    assert model.fusion.dims == {"image": 128, "tone": 5}
    assert isinstance(method.modulation, SMP)
    assert method.modulation.tau == (1, 2)
    again = recipe.build_model(source)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True)
    )
    other = recipe.changed(seed=1).build_model(source)
    assert not torch.equal(
        model.encoders["image"].layers[0].weight, other.encoders["image"].layers[0].weight
    )


def test_a_weight_for_each_modality_reaches_the_method() -> None:
    recipe = Recipe.load(RECIPES / "digits" / "g2d.yaml", ["method.alpha={image: 2, tone: 0.5}"])
    _, method = recipe.build_untrained(recipe.build_source())
    assert isinstance(method, G2D)
    assert method.alpha == {"image": 2.0, "tone": 0.5}
