"""The run folder: the names of its files, its typed results, and when a run may be resumed.

=======================  ============================================================
file                     content
=======================  ============================================================
``recipe.yaml``          the resolved recipe
``data.json``            hashes of the data, written when training starts
``metrics.jsonl``        one :class:`Epoch` per line
``checkpoints/``         ``best``, ``last``, and ``stack`` for a stack
``predictions/``         logits of every test row
``result.json``          the :class:`Result`, written when the run is complete, with the SHA-256
                         of the files above
``analysis.json``        the :class:`Analysis` of a diagnosis
``report.html``          the page
``plan.json``            of ``g2d fit``: the :class:`Plan`, what is trained
``members/``             an ordinary run folder per further student of a stack; of ``g2d fit``
                         per student, and ``teachers``
``data/``                of ``g2d fit``: the store, if the data were raw
=======================  ============================================================

No other package knows these names or formats.
"""

from g2d.runs.analysis import Analysis as Analysis
from g2d.runs.analysis import Errors as Errors
from g2d.runs.analysis import Plot as Plot
from g2d.runs.analysis import read_analysis as read_analysis
from g2d.runs.epochs import read_epochs as read_epochs
from g2d.runs.epochs import saved_lines as saved_lines
from g2d.runs.fitted import FitFacts as FitFacts
from g2d.runs.fitted import FitInteraction as FitInteraction
from g2d.runs.fitted import FitMember as FitMember
from g2d.runs.fitted import FitOption as FitOption
from g2d.runs.fitted import Plan as Plan
from g2d.runs.fitted import Planned as Planned
from g2d.runs.fitted import read_plan as read_plan
from g2d.runs.grouping import PER_SEED as PER_SEED
from g2d.runs.grouping import Problem as Problem
from g2d.runs.grouping import grouped as grouped
from g2d.runs.names import ANALYSIS as ANALYSIS
from g2d.runs.names import CHECKPOINTS as CHECKPOINTS
from g2d.runs.names import DATA as DATA
from g2d.runs.names import FIGURES as FIGURES
from g2d.runs.names import MEMBERS as MEMBERS
from g2d.runs.names import METRICS as METRICS
from g2d.runs.names import PAGE as PAGE
from g2d.runs.names import PLAN as PLAN
from g2d.runs.names import PREDICTIONS as PREDICTIONS
from g2d.runs.names import RECIPE as RECIPE
from g2d.runs.names import RECORDED as RECORDED
from g2d.runs.names import RESULT as RESULT
from g2d.runs.names import STACK as STACK
from g2d.runs.names import STORE as STORE
from g2d.runs.names import TEACHERS as TEACHERS
from g2d.runs.reading import LeftOut as LeftOut
from g2d.runs.reading import RunRecord as RunRecord
from g2d.runs.reading import find_runs as find_runs
from g2d.runs.reading import read_result as read_result
from g2d.runs.reading import read_run as read_run
from g2d.runs.reading import require_whole as require_whole
from g2d.runs.result import SCHEMA as SCHEMA
from g2d.runs.result import Cost as Cost
from g2d.runs.result import DataFacts as DataFacts
from g2d.runs.result import Epoch as Epoch
from g2d.runs.result import Result as Result
from g2d.runs.result import Scores as Scores
from g2d.runs.result import StackFacts as StackFacts
from g2d.runs.resuming import MACHINE_OPTIONS as MACHINE_OPTIONS
from g2d.runs.resuming import claim as claim
from g2d.runs.resuming import differences as differences
from g2d.runs.resuming import essential as essential
from g2d.runs.resuming import hashes_of as hashes_of
from g2d.runs.resuming import is_reported as is_reported
from g2d.runs.resuming import same_data as same_data
