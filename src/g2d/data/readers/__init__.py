"""Readers of raw files, one file per data set: from a folder as it was downloaded to a plan of what will be stored."""

from __future__ import annotations

from difflib import get_close_matches

from g2d.data.readers import (
    av_mnist,
    crema_d,
    grid_av,
    houses,
    iemocap,
    manifest,
    mis_me,
    mosi,
    sequences,
    ur_funny,
    vggsound,
)
from g2d.data.readers.base import Reader
from g2d.errors import DataError

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


def find_reader(name: str) -> Reader:
    """The reader of that name.

    Raises:
        DataError: there is none.
    """
    if name not in READERS:
        near = get_close_matches(name, READERS, n=1)
        raise DataError(
            f"a data set must be one of {', '.join(READERS)}, found {name!r}."
            + (f" Did you mean {near[0]!r}?" if near else "")
        )
    return READERS[name]


__all__ = ["READERS", "Reader", "find_reader"]
