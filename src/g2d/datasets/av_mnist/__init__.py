"""AV-MNIST, as published or rebuilt; and ``avdigits``, harder problems from the same parts."""

from g2d.datasets.av_mnist.problem import AVDigitsOptions, open_avdigits
from g2d.datasets.av_mnist.reader import AVMNISTOptions, plan_av_mnist, plan_rebuilt
from g2d.datasets.base import DataSet, Reader

AVDIGITS = DataSet(
    about="MNIST's handwritten and FSDD's spoken digits in background noise: AV-MNIST rebuilt",
    needs="MNIST, github.com/Jakobovski/free-spoken-digit-dataset and the folder "
    "_background_noise_ of Speech Commands",
    license="MNIST; FSDD CC BY-SA 4.0; Speech Commands CC BY 4.0",
    options=AVDigitsOptions,
    open=open_avdigits,
    reader=Reader(
        plan_rebuilt,
        AVMNISTOptions,
        layout="MNIST's four idx files (gz or plain), recordings/*.wav, noise/*.wav",
    ),
)
DATASET = DataSet(
    about="AV-MNIST: a handwritten digit without most of its energy, and the same digit spoken "
    "in noise",
    needs="avmnist.tar.gz as linked from github.com/pliang279/MultiBench; or MNIST, "
    "github.com/Jakobovski/free-spoken-digit-dataset and any folder of noise",
    license="none stated for the circulating copy; MNIST; FSDD CC BY-SA 4.0; that of the noise",
    reader=Reader(
        plan_av_mnist,
        AVMNISTOptions,
        layout="avmnist/{image,audio}/{train,test}_data.npy and {train,test}_labels.npy; "
        "or MNIST's four idx files (gz or plain), recordings/*.wav, noise/*.wav",
    ),
    also={"avdigits": AVDIGITS},
)
