"""Tables with statistics, charts, and one page that explains a run or a comparison.

Every function receives runs that were grouped once by :func:`groups_of`.
"""

from g2d.report.comparison import Reference as Reference
from g2d.report.comparison import comparison_table as comparison_table
from g2d.report.lines import Group as Group
from g2d.report.lines import groups_of as groups_of
from g2d.report.page import write_page as write_page
from g2d.report.page import write_report as write_report
from g2d.report.tables import FORMATS as FORMATS
from g2d.report.tables import Table as Table
