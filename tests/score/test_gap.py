import pytest
from hypothesis import given
from hypothesis.strategies import floats

from dmlbench.score.gap import gap_closed

scores = floats(0, 1)


def test_the_plain_student_closes_nothing_and_the_teacher_everything():
    assert gap_closed(0.25, plain=0.25, teacher=0.75) == 0
    assert gap_closed(0.75, plain=0.25, teacher=0.75) == 1
    assert gap_closed(0.375, plain=0.25, teacher=0.75) == 0.25


def test_a_student_may_exceed_its_teacher_or_fall_behind_the_plain_one():
    assert gap_closed(1.0, plain=0.25, teacher=0.75) == 1.5
    assert gap_closed(0.0, plain=0.25, teacher=0.75) == -0.5


@given(student=scores, plain=scores, teacher=scores)
def test_it_is_undefined_exactly_where_there_is_no_gap(student, plain, teacher):
    found = gap_closed(student, plain, teacher)
    assert (found is None) == (teacher <= plain)
    if found is not None:
        assert plain + found * (teacher - plain) == pytest.approx(student, abs=1e-9)
