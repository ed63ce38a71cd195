import doctest
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dmlbench.errors import DataError
from dmlbench.score import expression
from dmlbench.score.expression import accuracy, confusion, macro_f1, mean_class_accuracy

# Class 3 is predicted and never true, class 4 neither.
LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
PREDICTIONS = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])

items = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def test_a_matrix_worked_out_by_hand():
    matrix = confusion(LABELS, PREDICTIONS, 5)
    assert matrix.tolist() == [
        [2, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 2, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    assert accuracy(matrix) == pytest.approx(5 / 8, abs=1e-15)
    assert macro_f1(matrix) == pytest.approx((4 / 5 + 2 / 4 + 4 / 6 + 0 + 0) / 5, abs=1e-15)
    assert mean_class_accuracy(matrix) == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3, abs=1e-15)


@given(items)
@settings(deadline=None, derandomize=True, max_examples=60)
def test_agrees_with_scikit_learn(rows):
    from sklearn import metrics as theirs

    labels, predictions = torch.tensor(rows).T
    matrix = confusion(labels, predictions, 6)
    six = list(range(6))
    assert matrix.tolist() == theirs.confusion_matrix(labels, predictions, labels=six).tolist()
    assert accuracy(matrix) == pytest.approx(theirs.accuracy_score(labels, predictions), abs=1e-9)
    f1 = theirs.f1_score(labels, predictions, labels=six, average="macro", zero_division=0)
    assert macro_f1(matrix) == pytest.approx(f1, abs=1e-9)
    with warnings.catch_warnings():
        # Of one class only, and of classes that are predicted and never true.
        warnings.simplefilter("ignore")
        balanced = theirs.balanced_accuracy_score(labels, predictions)
    assert mean_class_accuracy(matrix) == pytest.approx(balanced, abs=1e-9)


@given(items, st.integers(0, 60))
@settings(deadline=None, derandomize=True, max_examples=20)
def test_matrices_of_folds_add_up_to_the_pooled_one(rows, cut):
    labels, predictions = torch.tensor(rows).T
    parts = [(labels[:cut], predictions[:cut]), (labels[cut:], predictions[cut:])]
    pooled = sum(confusion(*part, 5) for part in parts if len(part[0]))
    assert torch.equal(pooled, confusion(labels, predictions, 5))


def test_numpy_and_narrow_labels_and_many_classes_are_counted_exactly():
    plain = confusion(LABELS, PREDICTIONS, 5)
    assert torch.equal(confusion(LABELS.numpy(), PREDICTIONS.numpy(), 5), plain)
    assert torch.equal(confusion(LABELS.numpy().astype(np.uint8), PREDICTIONS.to(torch.int8), 5), plain)
    # 256 and more: products of narrow integers would wrap.
    high = torch.tensor([199, 198], dtype=torch.uint8)
    assert confusion(high, high, 200).nonzero().tolist() == [[198, 198], [199, 199]]


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        (LABELS, PREDICTIONS + 1, r"class 4 is none of the 4 classes \(1 of 8 items\)\n  in   predictions"),
        (LABELS - 1, PREDICTIONS, r"class -1 is none of the 4 classes \(3 of 8 items\)\n  in   labels"),
        (LABELS, PREDICTIONS[:7], "expected 8 labels"),
        (LABELS[:0], PREDICTIONS[:0], r"expected a class for each item, got shapes \(0,\)"),
        (torch.eye(4).long(), torch.eye(4).long(), r"expected a class for each item, got shapes \(4, 4\)"),
        (LABELS, PREDICTIONS.float(), "whole numbers, got torch.float32"),
    ],
)
def test_classes_that_cannot_be_counted_are_refused(labels, predictions, message):
    with pytest.raises(DataError, match=message):
        confusion(labels, predictions, 4)


def test_examples_in_docstrings_are_true():
    failed, tried = doctest.testmod(expression, extraglobs={"torch": torch})
    assert failed == 0
    assert tried > 0
