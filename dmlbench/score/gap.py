"""How much of the way from a plain student to its teacher a student has come."""

from __future__ import annotations


def gap_closed(student: float, plain: float, teacher: float) -> float | None:
    """(student - plain) / (teacher - plain): 0 is the plain student, 1 the teacher, and more is possible.

    None where the teacher is not better than the plain student: there is no gap to close.

    >>> gap_closed(0.375, 0.25, 0.5)
    0.5
    >>> gap_closed(0.3, 0.2, 0.2) is None
    True
    """
    gap = teacher - plain
    return (student - plain) / gap if gap > 0 else None
