import torch

from dmlbench.score.dropping import drop_scores


def boolean(*values):
    return torch.tensor(values, dtype=torch.bool)


def test_precision_is_of_the_dropped_and_recall_of_the_wrong():
    right = boolean(1, 1, 1, 0, 0, 0, 0, 0)
    dropped = boolean(1, 0, 0, 1, 1, 0, 0, 0)
    assert drop_scores(right, dropped) == {"drop_precision": 2 / 3, "drop_recall": 2 / 5}


def test_what_is_a_share_of_nothing_is_not_there():
    assert drop_scores(boolean(1, 0), boolean(0, 0)) == {"drop_recall": 0.0}
    assert drop_scores(boolean(1, 1), boolean(1, 0)) == {"drop_precision": 0.0}
    assert drop_scores(boolean(1, 1), boolean(0, 0)) == {}
