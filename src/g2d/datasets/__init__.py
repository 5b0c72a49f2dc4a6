"""Data sets by name, one folder each: the reader of its raw files, its card, its recipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from g2d.data.source import Source
from g2d.data.store.opening import StoreOptions
from g2d.datasets.av_mnist import reader as av_mnist
from g2d.datasets.av_mnist.problem import AVDigitsOptions, open_avdigits
from g2d.datasets.base import Reader
from g2d.datasets.crema_d import reader as crema_d
from g2d.datasets.digits.problem import DigitsOptions, open_digits
from g2d.datasets.grid_av import reader as grid_av
from g2d.datasets.houses import reader as houses
from g2d.datasets.iemocap import reader as iemocap
from g2d.datasets.mis_me import reader as mis_me
from g2d.datasets.mmmo import reader as sequences
from g2d.datasets.mosi import reader as mosi
from g2d.datasets.opening import open_any, opener, options_of
from g2d.datasets.soil.problem import SoilOptions, open_soil
from g2d.datasets.table import reader as manifest
from g2d.datasets.ur_funny import reader as ur_funny
from g2d.datasets.vggsound import reader as vggsound
from g2d.errors import DataError
from g2d.files import did_you_mean

READERS: dict[str, Reader] = {
    "crema_d": crema_d.READER,
    "av_mnist": av_mnist.READER,
    "avdigits": av_mnist.AVDIGITS_READER,
    "vggsound": vggsound.READER,
    "ur_funny": ur_funny.READER,
    "iemocap": iemocap.READER,
    "mis_me": mis_me.READER,
    "grid_av": grid_av.READER,
    "mosi": mosi.READER,
    "mmmo": sequences.MMMO_READER,
    "youtube": sequences.YOUTUBE_READER,
    "pom": sequences.POM_READER,
    "houses": houses.READER,
    "manifest": manifest.READER,
}


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


def find_reader(name: str) -> Reader:
    """The reader of that name.

    Raises:
        DataError: there is none.
    """
    if name not in READERS:
        raise DataError(
            f"a data set must be one of {', '.join(READERS)}, found {name!r}."
            + did_you_mean(name, READERS)
        )
    return READERS[name]


__all__ = ["DATASETS", "READERS", "DataSet", "Reader", "find_reader"]
