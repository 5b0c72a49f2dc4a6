"""Options and named settings of the built-in problem."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from g2d.errors import ArgumentError

Modality = Literal["image", "tone", "word", "left", "right"]
Setting = Literal[
    "memorizer", "mild", "trio", "lookalike", "balanced", "dead", "sum", "match", "mix"
]


class DigitsOptions(BaseModel):
    """Options of ``digits`` in a recipe. The setting defines the defaults of the others.

    Args:
        setting: ``memorizer``, ``mild``, ``trio``, ``lookalike``, ``balanced`` or ``dead``; or two
            pictures, whose class is in their interaction: ``sum``, ``match`` or ``mix``.
        modalities: Which of image, tone and word, or of left and right; by default those of the
            setting.
        target: The digit as one of ten classes, or its value divided by 9 as a regression.
        output: Output of the regression: ``sigmoid`` (Eq. 1) or ``identity``.
        image: ``canvas`` (drawn again in every epoch) or ``pca`` (fixed).
        components: Number of principal components that ``pca`` keeps.
        tone_db: Signal-to-noise ratio of the tone; None is noise only.
        fresh_tone: Whether the tones of training rows are drawn again in every epoch.
        word_p: Probability that a letter of the word is wrong.
        redundant: Percentage of the rows of ``mix`` whose class each picture shows by itself.
        protocol: ``row-order-v1`` (scikit-learn's order, close to writer-disjoint) or
            ``random-v1`` (a random split that depends on the data seed).
        data_seed: Seed of everything that is drawn once.
        eval_draws: Number of fixed draws per validation and test row; they form one group.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: Setting = "memorizer"
    modalities: tuple[Modality, ...] | None = None
    target: Literal["digit", "value"] = "digit"
    output: Literal["sigmoid", "identity"] = "sigmoid"
    image: Literal["canvas", "pca"] | None = None
    components: int | None = Field(default=None, ge=1, le=64)
    tone_db: float | None = Field(default=None, ge=-200, le=200)
    fresh_tone: bool | None = None
    word_p: float | None = Field(default=None, ge=0, le=1)
    redundant: float | None = Field(default=None, ge=0, le=100)
    protocol: Literal["row-order-v1", "random-v1"] = "row-order-v1"
    data_seed: int = Field(default=0, ge=0)
    eval_draws: int = Field(default=4, ge=1, le=1000)

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not None."""
        return {name: value for name, value in self.model_dump().items() if value is not None}

    def filled(self) -> DigitsOptions:
        """Return the options with the defaults of the setting filled in.

        Raises:
            ArgumentError: An option is not one of the setting, or its modalities are not.
        """
        common, of_pairs = (_PAIRED, True) if self.setting in PAIRS else (_COMMON, False)
        known = common | SETTINGS[self.setting]
        others = {*_COMMON, *_PAIRED, "tone_db", "redundant"} - {*known, "tone_db"}
        others |= {"tone_db"} if of_pairs else set()
        if wrong := sorted(others & self.given.keys()):
            raise ArgumentError(
                f"{wrong[0]} must be left out in the setting {self.setting} of digits, found "
                f"{self.given[wrong[0]]!r}."
            )
        if of_pairs and self.target != "digit":
            raise ArgumentError(
                f"target must be digit in the setting {self.setting} of digits, whose classes "
                f"belong to pairs, found {self.target!r}."
            )
        names, modalities = MODALITIES[of_pairs], self.modalities
        if modalities is not None and (
            not modalities or len({*modalities} & {*names}) != len(modalities)
        ):
            raise ArgumentError(
                f"modalities of digits must be one or more of {', '.join(names)}, each once, in "
                f"the setting {self.setting}, found {list(modalities)}."
            )
        return DigitsOptions(**(known | self.given))

    def plain(self) -> dict[str, Any]:
        """Return the options as every result records them, and the content hash of the data."""
        plain = self.model_dump(mode="json", exclude={"setting", "output"})
        if self.redundant is None:
            del plain["redundant"]  # recorded content hashes of settings without pairs lack it
        return plain


MODALITIES = (("image", "tone", "word"), ("left", "right"))
"""Modalities of a digit, and of a pair of digits."""
PAIRS = ("sum", "match", "mix")
"""Settings of two pictures, whose class is in their interaction."""

_COMMON: dict[str, Any] = {
    "image": "canvas",
    "components": 3,
    "fresh_tone": False,
    "word_p": 0.75,
    "modalities": ("image", "tone"),
}
_PAIRED: dict[str, Any] = {"modalities": MODALITIES[1]}
SETTINGS: dict[str, dict[str, Any]] = {
    "memorizer": {"tone_db": -17.0},
    "mild": {"tone_db": -15.0},
    "trio": {"tone_db": -16.0, "modalities": ("image", "tone", "word")},
    "lookalike": {"tone_db": -15.0, "image": "pca", "word_p": 0.8},
    "balanced": {"tone_db": -5.0, "fresh_tone": True, "word_p": 0.3},
    "dead": {"word_p": 1.0},
    "sum": {},
    "match": {},
    "mix": {"redundant": 50.0},
}
"""Settings, in order: joint training memorizes the tone and never learns the image; the same, with
a ranking that depends on the teachers' checkpoints; three modalities; no method should gain much;
nothing is wrong; a modality without information; the sum of two digits, whether they are the same,
and a class that both pictures show in some rows and only their sum in the others."""
