"""g2d: balanced multimodal learning for PyTorch.

Names are loaded when first used, so that ``import g2d`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2d.analysis.callables import diagnose as diagnose
    from g2d.experiment.comparing import Comparison as Comparison
    from g2d.experiment.comparing import compare as compare
    from g2d.experiment.exporting import export as export
    from g2d.experiment.fitting import fit as fit
    from g2d.experiment.loading import Run as Run
    from g2d.experiment.loading import load as load
    from g2d.experiment.reproducing import Reproduction as Reproduction
    from g2d.experiment.reproducing import reproduce as reproduce
    from g2d.experiment.training import train as train
    from g2d.fusion import BiGated as BiGated
    from g2d.fusion import Concat as Concat
    from g2d.fusion import CrossAttention as CrossAttention
    from g2d.fusion import FiLM as FiLM
    from g2d.fusion import FusionMLP as FusionMLP
    from g2d.fusion import Late as Late
    from g2d.fusion import Sum as Sum
    from g2d.method import Method as Method
    from g2d.method import SinglePass as SinglePass
    from g2d.method import TrainState as TrainState
    from g2d.method import rank as rank
    from g2d.model import CachedTeachers as CachedTeachers
    from g2d.model import MultimodalModel as MultimodalModel
    from g2d.model import Teachers as Teachers
    from g2d.model import feature_dims as feature_dims
    from g2d.model import warm_start as warm_start
    from g2d.modulations import SMP as SMP
    from g2d.modulations import PartialSuppression as PartialSuppression
    from g2d.recipe import Recipe as Recipe
    from g2d.task import Classification as Classification
    from g2d.task import MultiLabel as MultiLabel
    from g2d.task import Regression as Regression
    from g2d.types import Batch as Batch
    from g2d.types import Encoded as Encoded
    from g2d.types import Output as Output
    from g2d.types import Sequence as Sequence
    from g2d.types import TeacherOutput as TeacherOutput

__version__ = "0.1.0"

_HOMES = {
    "analysis.callables": ("diagnose",),
    "types": ("Batch", "Encoded", "Output", "Sequence", "TeacherOutput"),
    "task": ("Classification", "MultiLabel", "Regression"),
    "fusion": ("BiGated", "Concat", "CrossAttention", "FiLM", "FusionMLP", "Late", "Sum"),
    "model": ("CachedTeachers", "MultimodalModel", "Teachers", "feature_dims", "warm_start"),
    "method": ("Method", "SinglePass", "TrainState", "rank"),
    "modulations": ("PartialSuppression", "SMP"),
    "recipe": ("Recipe",),
    "experiment.comparing": ("Comparison", "compare"),
    "experiment.exporting": ("export",),
    "experiment.fitting": ("fit",),
    "experiment.loading": ("Run", "load"),
    "experiment.reproducing": ("Reproduction", "reproduce"),
    "experiment.training": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = (
    "analysis",
    "data",
    "encoders",
    "engine",
    "errors",
    "experiment",
    "functional",
    "methods",
    *(home for home in _HOMES if "." not in home),
)

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(f"g2d.{_HOME_OF[name]}"), name)
    if name in _MODULES:
        return import_module(f"g2d.{name}")
    raise AttributeError(f"module 'g2d' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF, *_MODULES])
