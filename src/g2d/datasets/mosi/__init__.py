"""CMU-MOSI: sentiment of utterances, from pooled features and transcripts."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.mosi.reader import MosiOptions, plan_mosi

DATASET = DataSet(
    about="CMU-MOSI: is an utterance positive; pooled features of sound and face, and its "
    "transcript",
    needs="bc-LSTM/data of github.com/declare-lab/multimodal-deep-learning",
    license="MIT for the files; cite CMU-MOSI (Zadeh et al. 2016)",
    reader=Reader(
        plan_mosi,
        MosiOptions,
        layout="the folder bc-LSTM/data: {audio,video,text}/NAME_{train,test}0.csv, "
        "text_{train,test}.csv, transcripts.csv",
    ),
)
