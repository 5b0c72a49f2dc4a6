"""UR-FUNNY: humor in talks, from features of sound, face and words."""

from g2d.datasets.base import DataSet, Reader
from g2d.datasets.ur_funny.reader import URFunnyOptions, plan_ur_funny

DATASET = DataSet(
    about="UR-FUNNY: is a punchline of a talk funny; features of sound, face and words",
    needs="the feature files that github.com/ROC-HCI/UR-FUNNY links to",
    license="publicly available for research, by its authors; no license file",
    reader=Reader(
        plan_ur_funny,
        URFunnyOptions,
        layout="the six pickles of version 2: data_folds, language_sdk, covarep_features_sdk, "
        "openface_features_sdk, humor_label_sdk, word_embedding_list (.pkl)",
    ),
)
