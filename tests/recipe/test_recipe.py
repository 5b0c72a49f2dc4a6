"""Recipes: how they are read, what is refused in which words, and what they build."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonschema import Draft202012Validator
from torch import nn

from g2d.errors import RecipeError
from g2d.experiment.schema import json_schema
from g2d.fusion import FiLM, Late
from g2d.methods import G2D, METHODS
from g2d.model import MultimodalModel, Teachers
from g2d.modulations import SMP
from g2d.plainyaml import parse
from g2d.recipe import Recipe
from g2d.recipe.packaged import packaged, recipe_names
from g2d.recipe.reading import override
from g2d.recipe.variants import VARIANTS
from g2d.task import Classification

TWO = {"data": "digits", "encoders": {"image": "cnn", "tone": "mlp"}}


def faults(content: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_mapping(content)
    return list(caught.value.faults)


def faults_of(method: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        Recipe.load("digits", [f"method={method}", *overrides])
    return list(caught.value.faults)


@pytest.mark.parametrize("method", [*METHODS, *VARIANTS])
@pytest.mark.parametrize("name", recipe_names())
def test_every_packaged_recipe_reads_back_as_itself_with_every_method(
    name: str, method: str
) -> None:
    recipe = Recipe.load(name, [f"method={method}"])
    assert recipe.name == f"{name.replace('/', '-')}-{method}"
    assert Recipe.from_mapping(parse(recipe.to_yaml(), "resolved")) == recipe


@pytest.mark.parametrize(
    "name", [name for name in recipe_names() if "  mis_me:" in packaged(name).read_text()]
)
def test_mis_me_gets_an_output_without_a_sigmoid_wherever_a_problem_has_values_for_it(
    name: str,
) -> None:
    chosen = Recipe.load(name, ["method=mis_me"]).data.options
    assert chosen["output"] == "identity"


def test_iemocap_has_a_transformer_for_every_modality_like_ur_funny() -> None:
    size = {"width": 768, "layers": 8, "heads": 4}
    for name in ("iemocap", "ur_funny"):
        for encoder in Recipe.load(name).encoders.values():
            assert encoder.name == "transformer"
            assert encoder.options.items() >= size.items()


def test_all_faults_are_reported_at_once_with_the_nearest_valid_names() -> None:
    assert faults_of("g2d", "method.aplha=2", "epochs=many") == [
        "epochs must be a whole number or null, found 'many'.",
        "method.aplha is not a key of g2d. Did you mean 'method.alpha'?",
    ]


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("sede=1", "sede is not a key of a recipe. Did you mean 'seed'?"),
        (
            "data.setting=memoriser",
            "data.setting must be one of 'memorizer', 'mild', 'trio', 'lookalike', 'balanced',"
            " 'dead', 'sum', 'match', 'mix', found 'memoriser'.",
        ),
        ("data.eval_draws=0", "data.eval_draws must be greater than or equal to 1, found 0."),
        ("data=digit", "data must name a data set (arrays, av_mnist, avdigits, crema_d, digits"),
        (
            "encoders.image.widht=3",
            "encoders.image.widht is not a key of cnn. Did you mean 'encoders.image.widths'?",
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
            "'lag-reversed', or a list of texts, found 'loudest'.",
        ),
        (
            "method.ranking=[image,tome]",
            "ranking must hold every modality once (image, tone), found ['image', 'tome'].",
        ),
        (
            "method.ranking=lag & method.tau=[15,15]",
            "tau must be left out with ranking='lag', whose turns are as long as they help",
        ),
        (
            "method.alpha={imgae: 1}",
            "method.alpha.imgae is not a key of the modalities. Did you mean 'method.alpha.image'?",
        ),
        (
            "epochs=20 & method.tau=[15,15]",
            "epochs must be the sum of tau or left out, found epochs=20 and method.tau=[15, 15],"
            " whose sum is 30.",
        ),
        ("data.modalities=image", "found 'image'. A list has brackets: data.modalities=[image]."),
        ("train.epochs=3", "train.epochs must be outside the section 'train'"),
        ("train.lr=fast", "train.lr must be a number, found 'fast'."),
        ("train.lr=-1", "lr must be positive, found -1"),
        ("train.group_lr={imag: 0.1}", "Did you mean 'train.group_lr.image'?"),
        ("train=3", "train must be a mapping of keys to values, found 3."),
        (
            "teachers.sed=1",
            "teachers.sed is not a key of teachers. Did you mean 'teachers.seed'?",
        ),
        (
            "teachers.distil_checkpoint=first",
            "teachers.distil_checkpoint must be one of 'best', 'last', found 'first'.",
        ),
        ("warm_start=1", "warm_start must be true or false, found 1."),
        ("seed=true", "seed must be a whole number, found True."),
        (
            "seed=1 & seed.first=1",
            "seed.first must lie in a section, found the value 1 at seed.",
        ),
        ("controls", "an override must be written key=value, found 'controls'."),
        ("name=[", "name must be a YAML value"),
        ("method=gd2", "found 'gd2'. Did you mean 'g2d'?"),
        ("method=joint+smq", "Did you mean 'joint+smp'?"),
    ],
)
def test_a_fault_names_the_key_the_rule_and_the_value(assignment: str, sentence: str) -> None:
    sentences = faults_of("g2d", *assignment.split(" & "))
    assert any(sentence in fault for fault in sentences), sentences


def test_shares_that_do_not_add_up_to_one_are_one_fault() -> None:
    (fault,) = faults_of("g2d", "epochs=4", "method.tau=[0.9,0.9]")
    assert "shares of the run that add up to 1" in fault


def test_a_modulation_is_checked_like_a_method() -> None:
    assert faults_of("joint+smp", "method.modulation.tua=[5,5]") == [
        "method.modulation.tua is not a key of smp. Did you mean 'method.modulation.tau'?"
    ]
    assert "is 30" in faults_of("joint+smp", "epochs=20", "method.modulation.tau=[15,15]")[0]
    assert (
        "must be left out for ume, which takes none"
        in faults_of("ume", "method.modulation.name=smp")[0]
    )


def test_a_student_that_is_not_trained_leaves_its_epochs_to_its_teachers() -> None:
    recipe = Recipe.load("digits", ["method=ume", "epochs=5"])
    assert (recipe.train.epochs, recipe.teachers.train.epochs) == (0, 5)
    recipe = Recipe.load("digits", ["method=ume", "epochs=5", "teachers.epochs=7"])
    assert (recipe.train.epochs, recipe.teachers.train.epochs) == (0, 7)
    assert faults_of("ume", "epochs=default") == [
        "teachers.epochs must be 1 or more, found nothing. Give teachers.epochs or epochs."
    ]


def test_missing_keys_are_named() -> None:
    assert faults({}) == [
        "data must be given, found nothing: a name, or a mapping with a name.",
        "encoders must be a mapping of modalities to encoders, found None.",
        "method must be given, found nothing: a name, or a mapping with a name.",
    ]
    assert faults({**TWO, "method": "joint"}) == [
        "epochs must be given, found nothing. Only a tau of whole epochs can replace it."
    ]
    assert faults({**TWO, "method": {"tau": [1, 1]}}) == [
        "method.name must be given, found only tau."
    ]
    assert faults({**TWO, "method": "g2d_released"}) == [
        "epochs must be given, found nothing. Only a tau of whole epochs can replace it."
    ]


def test_encoders_and_modalities_must_agree() -> None:
    sentences = faults(
        {
            "data": {"name": "digits", "modalities": ["image", "word"]},
            "encoders": {"image": "cnn", "wrod": "mlp"},
            "method": "joint",
            "epochs": 1,
        }
    )
    assert "Did you mean 'encoders.word'?" in sentences[0]
    assert "encoders.word must be given, found none for this modality of the data." in sentences


def test_the_encoders_select_the_modalities() -> None:
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
    with pytest.raises(RecipeError, match=r"cannot read recipe .*no such file"):
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
        ("g2d", None),
        ({"name": "g2d", "ranking": "batch"}, [2, 3]),
        ({"name": "g2d", "tau": [0.2, 0.8]}, [1, 4]),
        ({"name": "g2d", "tau": [0, 5]}, [0, 5]),
        ({"name": "g2d", "tau": "none"}, "none"),
        ({"name": "g2d", "tau": None}, "none"),
        ({"name": "joint", "modulation": {"name": "smp", "ranking": "random"}}, [2, 3]),
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
    assert faults({**TWO, "method": {"name": "g2d", "ranking": "batch"}, "epochs": 1}) == [
        "epochs must be 2 or more to give each stage an epoch, found 1."
    ]


def test_the_epochs_are_the_sum_of_tau_and_teachers_follow_the_student() -> None:
    recipe = Recipe.load("digits", ["method.tau=[5,5]", "seed=3"])
    assert (recipe.train.epochs, recipe.teachers.train.epochs, recipe.teachers.train.seed) == (
        10,
        10,
        3,
    )
    pinned = Recipe.load("digits", ["seed=3", "teachers.seed=0", "teachers.train.lr=0.5"])
    assert (pinned.train.lr, pinned.teachers.train.lr, pinned.teachers.train.seed) == (0.01, 0.5, 0)
    assert pinned.changed(seed=4).train.seed == 4
    assert pinned.changed(seed=4).teachers.train.seed == 0


def test_a_recipe_builds_what_it_names() -> None:
    recipe = Recipe.load(
        "digits",
        ["method=joint+smp", "method.modulation.tau=[1,2]", "encoders.tone.widths=[8, 5]"],
    )
    source = recipe.build_source()
    model = recipe.build_model(source)
    teacher = recipe.build_teacher(source, "tone")
    method = recipe.build_method(Teachers({"tone": teacher}))
    assert (teacher.modalities, teacher.fusion.dims) == (("tone",), {"tone": 5})
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


def test_a_weight_per_modality_reaches_the_method() -> None:
    recipe = Recipe.load("digits", ["method.alpha={image: 2, tone: 0.5}"])
    method = recipe.build_method(Teachers({}))
    assert isinstance(method, G2D)
    assert method.alpha == {"image": 2.0, "tone": 0.5}


def test_a_recipe_is_found_by_name_or_by_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(Recipe.load("digits").to_yaml())
    assert Recipe.load(str(file)) == Recipe.load(file) == Recipe.load("digits")
    with pytest.raises(RecipeError, match=r"found 'digit/mild'. Did you mean 'digits/mild'\?"):
        Recipe.load("digit/mild")
    with pytest.raises(RecipeError, match="The command g2d list recipes shows them all"):
        Recipe.load("something/else")
    assert Recipe.load("avdigits") == Recipe.load("av_mnist/canvas")


def test_values_for_a_method_apply_when_it_is_chosen_and_below_overrides() -> None:
    content = {
        **TWO,
        "epochs": 4,
        "method": "joint",
        "methods": {
            "umt": {"method.weight": 3.0, "fusion": "sum"},
            "umt+smp": {"method.weight": 5.0},
        },
    }
    recipe = Recipe.from_mapping(content)
    assert (recipe.method.name, recipe.fusion.name) == ("joint", "late")
    umt = recipe.changed(method="umt")
    assert (umt.method.options["weight"], umt.fusion.name) == (3.0, "sum")
    assert umt.changed({"method.weight": 2.0}).method.options["weight"] == 2.0
    assert recipe.changed(method={"name": "umt", "weight": 1.5}).method.options["weight"] == 1.5
    both = recipe.changed(method="umt+smp")
    assert (both.method.options["weight"], both.fusion.name) == (5.0, "sum")
    assert umt.changed(method="joint") == recipe.changed(name=umt.changed(method="joint").name)
    wrong = {**content, "methods": {"umd": {}}}
    assert "Did you mean 'umt'?" in faults(wrong)[0]


@pytest.mark.parametrize(
    ("variant", "check"),
    [
        ("joint+smp", lambda recipe: recipe.modulation.options["ranking"] == "lag"),
        ("umt+smp", lambda recipe: recipe.modulation.name == "smp"),
        ("g2d-loss", lambda recipe: recipe.method.options["tau"] == "none"),
        ("joint-warm", lambda recipe: recipe.warm_start),
        ("joint-pair", lambda recipe: recipe.students == 2 and not recipe.needs_teachers),
        ("stack", lambda recipe: recipe.stack == 2 and recipe.teachers.train.epochs == 4),
    ],
)
def test_a_variant_is_chosen_like_a_method(variant: str, check: Any) -> None:
    recipe = Recipe.load("digits", [f"method={variant}", "epochs=4"])
    assert check(recipe)
    assert recipe.method.name == VARIANTS[variant].method
    own = {"name": "mine", **TWO, "method": "joint", "epochs": 4}
    assert Recipe.from_mapping(own).changed(method=variant).name == f"mine-{variant}"


def test_null_and_default_remove_a_key_and_null_stays_where_it_is_a_value() -> None:
    recipe = Recipe.load(
        "digits", ["train.lr=null", "train.threads=null", "train.batch_size=default", "method=ume"]
    )
    assert (recipe.train.lr, recipe.train.threads, recipe.train.batch_size) == (0.01, None, 32)
    assert Recipe.load("digits", ["train.threads=2", "train.threads=default"]).train.threads is None
    assert Recipe.load("digits", ["method=joint", "method=default"]).method.name == "g2d"
    assert Recipe.load("digits", ["method.tau=null"]).method.options["tau"] == "none"
    assert Recipe.load("digits", ["method.tau=default"]).method.options["tau"] is None


def test_a_deselected_modality_takes_its_options_with_it() -> None:
    recipe = Recipe.load(
        "digits/trio",
        [
            "method.alpha={image: 1, tone: 2, word: 3}",
            "method.tau=[0.2, 0.2, 0.6]",
            "train.group_lr={word: 0.1, image: 0.2}",
            "data.modalities=[image, tone]",
        ],
    )
    assert recipe.modalities == ("image", "tone")
    assert recipe.method.options["alpha"] == {"image": 1.0, "tone": 2.0}
    assert recipe.method.options["tau"] == [7, 23]
    assert recipe.train.group_lr == {"image": 0.2}
    alone = Recipe.load("digits", ["data.modalities=[image]", "method.ranking=batch"])
    assert (alone.modalities, alone.method.options["tau"]) == (("image",), [30])


def test_a_tau_of_whole_epochs_takes_the_place_of_the_epochs_of_the_file() -> None:
    assert Recipe.load("digits", ["method.tau=[2,3]"]).train.epochs == 5
    assert Recipe.load("digits", ["method={name: g2d, tau: [2, 3]}"]).train.epochs == 5
    staged = Recipe.load("digits", ["epochs=4", "method.ranking=batch"])
    assert staged.method.options["tau"] == [2, 2]


def test_the_json_schema_accepts_the_packaged_recipes_and_refuses_wrong_keys() -> None:
    schema = json.loads(json.dumps(json_schema()))
    Draft202012Validator.check_schema(schema)
    check = Draft202012Validator(schema)
    for name in recipe_names():
        assert list(check.iter_errors(Recipe.load(name).given.content)) == []
        assert list(check.iter_errors(Recipe.load(name).resolved())) == []
    for wrong in (
        {"sede": 1},
        {"method": "gd2"},
        {"method": {"name": "joint", "alpha": 1}},
        {"train": {"optimizer": "sdg"}},
        {"data": {"name": "digits", "setting": "memoriser"}},
        {"encoders": {"image": {"name": "cnn", "widht": 3}}},
    ):
        content = {**TWO, "method": "joint", "epochs": 1}
        assert list(check.iter_errors(content)) == []
        assert list(check.iter_errors({**content, **wrong})) != []


def test_a_ranking_that_times_itself_has_no_tau() -> None:
    recipe = Recipe.load("digits", ["method.ranking=lag-reversed"])
    assert recipe.method.options["tau"] is None
    assert Recipe.from_mapping(recipe.resolved()) == recipe
    ordered = Recipe.load("digits", ["method.ranking=[tone,image]"])
    assert ordered.method.options["tau"] == [15, 15]
    assert Recipe.from_mapping(ordered.resolved()) == ordered


@pytest.mark.parametrize(
    ("changes", "ranking"),
    [
        ({}, "lag"),
        ({"fusion": "sum"}, "lag"),
        ({"fusion": "film"}, "memorization"),
        ({"method.tau": [1, 29]}, "memorization"),
        ({"method": "joint+smp"}, "lag"),
        ({"method": "g2d-loss"}, "memorization"),
        ({"method.ranking": "memorization"}, "memorization"),
    ],
)
def test_the_automatic_ranking_is_the_lag_where_it_can_time_itself(
    changes: dict[str, Any], ranking: str
) -> None:
    """With another fusion, the student's own predictions from one modality are approximate."""
    recipe = Recipe.load("digits").changed(changes)
    assert (recipe.modulation or recipe.method).options["ranking"] == ranking
    assert Recipe.from_mapping(recipe.resolved()) == recipe


@pytest.mark.parametrize(
    ("fusion", "tau", "ranking"),
    [(Late, None, "lag"), (FiLM, None, "memorization"), (Late, (0.5, 0.5), "memorization")],
)
def test_a_modulation_without_a_recipe_has_the_same_automatic_ranking(
    fusion: type, tau: Any, ranking: str
) -> None:
    encoders = {"image": nn.Linear(2, 3), "tone": nn.Linear(2, 3)}
    model = MultimodalModel(encoders, fusion({"image": 3, "tone": 3}, 4))
    modulation = SMP(tau=tau)
    modulation.build(model, Classification(4))
    assert modulation.ranking == ranking


def test_the_resolved_recipe_of_an_earlier_version_is_read_as_it_was_meant() -> None:
    new = Recipe.load("digits", ["method=g2d-loss", "epochs=2", "method.ranking=batch"]).resolved()
    method = {key: value for key, value in new["method"].items() if key != "ranking"}
    old = {**new, "method": {**method, "tau": None}}
    assert Recipe.upgraded(old) == new
