"""Data sets by name, and what everything above needs of them: a Source of rows and a Loader of batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from g2d.data.avdigits import AVDigitsOptions, open_avdigits
from g2d.data.digits import DigitsOptions, open_digits
from g2d.data.loader import Loader
from g2d.data.prepared import open_any, opener, options_of
from g2d.data.readers import READERS
from g2d.data.soil import SoilOptions, open_soil
from g2d.data.source import SPLITS, Source
from g2d.data.store.opening import StoreOptions


@dataclass(frozen=True)
class DataSet:
    """An entry of the list.

    Args:
        options: what a recipe may say about it, a model that refuses unknown keys.
        open: from options to a :class:`Source`.
        about: one line for ``g2d list datasets``.
        needs: what a user must bring, and where to ask for it.
        licence: of the data.
    """

    options: type[BaseModel]
    open: Callable[[Any], Source]
    about: str
    needs: str = "nothing"
    licence: str = "-"


DATASETS: dict[str, DataSet] = {
    "digits": DataSet(
        DigitsOptions,
        open_digits,
        about="handwritten digit, keypad tone and written word; 10 classes or the digit's value",
        needs="nothing: scikit-learn brings the digits",
        licence="CC BY 4.0 (UCI optical recognition of handwritten digits)",
    ),
    "soil": DataSet(
        SoilOptions,
        open_soil,
        about="a photo of a soil patch and eight weather values, drawn at random; its water content (regression)",
        licence="of this project: drawn, not measured",
    ),
    "avdigits": DataSet(
        AVDigitsOptions,
        open_avdigits,
        about="MNIST's handwritten and FSDD's spoken digits in background noise: AV-MNIST rebuilt from its parts",
        needs="the folder avdigits-raw, made from public files as docs/data/avdigits tells",
        licence="MNIST; FSDD CC BY-SA 4.0; Speech Commands CC BY 4.0",
    ),
    "store": DataSet(
        StoreOptions,
        open_any,
        about="any store that g2d data prepare wrote: your own data, or one of the sets below under another name",
        needs="a folder with dataset.json; data.store names it",
        licence="that of its data",
    ),
}
DATASETS |= {
    name: DataSet(
        options_of(name), opener(reader), reader.about, needs=reader.needs, licence=reader.licence
    )
    for name, reader in READERS.items()
    if not reader.own and name not in DATASETS
}

__all__ = ["DATASETS", "SPLITS", "DataSet", "DigitsOptions", "Loader", "Source", "open_digits"]
