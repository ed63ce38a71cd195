import pytest

from dmlbench.errors import UsageError
from dmlbench.score import METRICS, metric


@pytest.mark.parametrize(
    "name",
    [
        "recall_at_K",
        "recall_at_0",
        "recall_at_08",
        "recall_at_",
        "recall_at_-1",
        "r_precision_at_5",
        "",
        "map@r",
    ],
)
def test_names_that_are_no_metric(name):
    with pytest.raises(UsageError, match="no metric named") as caught:
        metric(name)
    assert all(known in str(caught.value) for known in METRICS)


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UsageError, match="near map_at_r"):
        metric("mapatr")


def test_every_metric_has_a_version():
    assert all(entry.version >= 1 for entry in METRICS.values())
