"""``g2d fit``: from data to the best model that a budget allows.

``inputs`` turns data in any form into the recipe that all members share, ``planning`` decides what
is trained, ``members`` trains it in ordinary run folders, ``choice`` chooses on the validation
rows, ``paragraph`` puts the result in words, and ``steps`` goes through all of it. The result is a
run folder whose model is a :class:`~g2d.engine.stack.Stack`; :func:`g2d.load` opens it like any
other run.
"""

from g2d.experiment.fitting.main import fit, previewed

__all__ = ["fit", "previewed"]
