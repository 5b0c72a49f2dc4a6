"""IEMOCAP: emotions in acted dialogues, by sound, face and words."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.iemocap.reader import IemocapOptions, plan_iemocap

DATASET = DataSet(
    about="IEMOCAP: ten actors in dialogues, 4 emotions (or 5, 6); sound, video of the speaker, "
    "words",
    needs="a signed release form: sail.usc.edu/iemocap",
    license="research use, no redistribution",
    reader=Reader(
        plan_iemocap,
        IemocapOptions,
        layout="Session1..5 as released: dialog/{EmoEvaluation,transcriptions,avi/DivX}, "
        "sentences/wav; for legacy-random train.csv, valid.csv, test.csv of turns",
    ),
)
