import pytest
import torch

from dmlbench.score import distance, score
from dmlbench.score.precision import full_precision


def precisions():
    return [torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision]


@pytest.fixture
def careless_training():
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("careless_training")
def test_products_are_float32_and_the_choice_of_training_comes_back(clusters, monkeypatch):
    seen = []

    def watched(gallery, curvature):
        write = distance.cosine(gallery)

        def watch(queries, out):
            seen.append(precisions())
            write(queries, out)

        return watch

    monkeypatch.setitem(distance.DISTANCES, "cosine", watched)
    score(*clusters())
    assert seen == [["ieee", "ieee"]]
    assert precisions() == ["tf32", "bf16"]
    assert torch.get_float32_matmul_precision() == "medium"


@pytest.mark.usefixtures("careless_training")
def test_the_choice_of_training_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), full_precision():
        _ = 1 / 0
    assert precisions() == ["tf32", "bf16"]


def test_autocast_does_not_reach_the_score(clusters):
    embeddings, labels = clusters(noise=2.0)
    plain = {name: score(embeddings, labels, distance=name).metrics for name in ("cosine", "euclidean")}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for name, metrics in plain.items():
            assert score(embeddings.clone().requires_grad_(), labels, distance=name).metrics == metrics
