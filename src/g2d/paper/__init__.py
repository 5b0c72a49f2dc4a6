"""Everything that is only about the paper: the layouts of Tables 1-7, its figures and values.

Example::

    from g2d.paper import build
    from g2d.report import groups_of
    from g2d.runs import find_runs

    runs, left_out = find_runs([Path("runs/compare")])
    print(build(groups_of(runs), "1")[0].text())
"""

from __future__ import annotations

from g2d.paper.figures import draw_panels as draw_panels
from g2d.paper.tables import COMPARE as COMPARE
from g2d.paper.tables import LAYOUTS as LAYOUTS
from g2d.paper.tables import build as build
from g2d.paper.tables import build_compared as build_compared
