"""The conformance kit: what a plugin's tests import.

    import pytest
    from dmlbench.testing import cases

    @pytest.mark.parametrize("case", cases("loss", "my-loss"), ids=str)
    def test_conformance(case):
        case()

The checks that apply follow from the component's kind and from what its signatures ask for;
`docs/plugins/checks.md` lists them with their reasons. `dmlbench check` runs the same ones.
"""

from dmlbench.testing.case import Case, CheckFailed, NotApplicable
from dmlbench.testing.report import Report, Result, cases, check, checks

__all__ = ["Case", "CheckFailed", "NotApplicable", "Report", "Result", "cases", "check", "checks"]
