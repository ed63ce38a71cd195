import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import dmlbench
from dmlbench.cli.score import DISTANCES, TIES, command
from dmlbench.errors import DataError, UsageError
from dmlbench.score import DISTANCES as SCORED_DISTANCES
from dmlbench.score import fit_itq, score
from dmlbench.score.ties import TIES as SCORED_TIES

EMBEDDINGS = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
LABELS = np.arange(40) // 4


@pytest.fixture
def files(tmp_path):
    """The same embeddings and labels in every kind of file."""
    np.save(tmp_path / "e.npy", EMBEDDINGS)
    np.save(tmp_path / "l.npy", LABELS)
    np.savez(tmp_path / "one.npz", EMBEDDINGS)
    np.savez(tmp_path / "both.npz", embeddings=EMBEDDINGS, labels=LABELS)
    tensors = {"embeddings": torch.from_numpy(EMBEDDINGS), "labels": torch.from_numpy(LABELS)}
    save_file(tensors, tmp_path / "both.safetensors")
    save_file({"half": tensors["embeddings"].bfloat16()}, tmp_path / "half.safetensors")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.mark.parametrize(
    ("embeddings", "labels"),
    [
        ("e.npy", "l.npy"),
        ("one.npz", "both.npz:labels"),
        ("both.npz:embeddings", "l.npy"),
        ("both.safetensors:embeddings", "both.safetensors:labels"),
    ],
)
def test_json_is_the_same_from_every_kind_of_file(files, embeddings, labels):
    result = run(files / embeddings, "--labels", files / labels, "--json")
    assert json.loads(result.stdout) == {
        "scorer": f"dmlbench/{dmlbench.__version__}",
        "queries": 40,
        "skipped": 0,
        "distance": "cosine",
        "ties": "permuted",
        "metrics": score(EMBEDDINGS, LABELS).metrics,
        "metric_versions": score(EMBEDDINGS, LABELS).metric_versions,
    }


def test_bfloat16_embeddings_are_read(files):
    wanted = score(torch.from_numpy(EMBEDDINGS).bfloat16(), LABELS).metrics
    result = run(files / "half.safetensors", "--labels", files / "l.npy", "--json")
    assert json.loads(result.stdout)["metrics"] == wanted


def test_the_table_is_data_and_the_count_of_queries_is_talk(files):
    result = run(files / "e.npy", "--labels", files / "l.npy", "--metrics", "map_at_r, recall_at_3")
    value = score(EMBEDDINGS, LABELS, metrics=["map_at_r"]).metrics["map_at_r"]
    header, _, first, second = result.stdout.splitlines()
    assert header.split() == ["metric", "value"]
    assert first.split() == ["map_at_r", f"{value:.4f}"]
    assert second.startswith("recall_at_3")
    assert "40 queries, 0 skipped" in result.stderr


def test_gallery_and_distance_are_passed_on(files):
    gallery = ("--gallery", files / "e.npy", "--gallery-labels", files / "l.npy")
    result = run(files / "e.npy", "--labels", files / "l.npy", *gallery, "--distance", "euclidean", "--json")
    assert json.loads(result.stdout)["metrics"]["recall_at_1"] == 1.0


def test_options_are_those_of_score(files):
    small, coarse = EMBEDDINGS / 10, LABELS // 5
    np.save(files / "ball.npy", small)
    np.save(files / "coarse.npy", coarse)
    options = {
        "curvature": 0.5,
        "ties": "expected",
        "lone": "zero",
        "average": "class",
        "distance": "poincare",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    result = run(
        *(files / "ball.npy", "--labels", files / "l.npy", "--json", "--metrics", "map_at_r", *arguments),
        *("--level", f"coarse={files / 'coarse.npy'}"),
    )
    wanted = score(small, LABELS, metrics=["map_at_r"], levels={"coarse": coarse}, **options)
    assert json.loads(result.stdout)["metrics"] == wanted.metrics
    assert set(wanted.metrics) == {"map_at_r", "coarse/map_at_r"}


def test_a_gallery_that_begins_with_the_queries_is_a_union(files):
    np.save(files / "some.npy", EMBEDDINGS[:8])
    np.save(files / "some_l.npy", LABELS[:8])
    gallery = ("--gallery", files / "e.npy", "--gallery-labels", files / "l.npy")
    result = run(files / "some.npy", "--labels", files / "some_l.npy", *gallery, "--union", "--json")
    wanted = score(EMBEDDINGS, LABELS, metrics=["map_at_r"]).per_query["map_at_r"][:8].mean()
    assert json.loads(result.stdout)["metrics"]["map_at_r"] == pytest.approx(wanted.item(), abs=1e-12)


@pytest.mark.parametrize("gallery", [False, True])
def test_binary_codes_are_fitted_on_what_is_searched(files, gallery):
    more = ("--gallery", files / "g.npy", "--gallery-labels", files / "l.npy") if gallery else ()
    items = EMBEDDINGS[::-1] + 0.1
    np.save(files / "g.npy", items)
    result = run(files / "e.npy", "--labels", files / "l.npy", *more, "--bits", "4", "--json")
    itq = fit_itq(items if gallery else EMBEDDINGS, 4)
    form = {"gallery": itq.codes(items), "gallery_labels": LABELS} if gallery else {}
    wanted = score(itq.codes(EMBEDDINGS), LABELS, distance="hamming", **form)
    answer = json.loads(result.stdout)
    assert answer["metrics"] == wanted.metrics
    assert (answer["distance"], answer["ties"]) == ("hamming", "expected")


def test_the_portions_are_said_before_the_start(files):
    result = run(files / "e.npy", "--labels", files / "l.npy", "--json")
    assert result.stderr.startswith("40 queries x 40 items of 6 dimensions, cosine in float32: blocks of 40")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--union"], "--union speaks of a gallery"),
        (["--bits", "4", "--distance", "euclidean"], "--bits compares by the Hamming distance"),
        (["--level", "a=l.npy", "--level", "a=e.npy"], "a level is given twice"),
        (["--level", "coarse"], "--level 'coarse': expected NAME=FILE"),
        (["--level", "a b=l.npy"], "expected NAME=FILE"),
        (["--gallery", "e.npy", "--level", "c=l.npy"], "for the form without a gallery"),
    ],
)
def test_options_that_do_not_go_together_are_refused(files, arguments, message):
    options = [files / text if text.endswith(".npy") and "=" not in text else text for text in arguments]
    with pytest.raises(UsageError, match=message):
        run(files / "e.npy", "--labels", files / "l.npy", *options)


def test_a_pickle_is_refused_and_not_loaded(files):
    np.save(files / "pickle.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="pickles are never loaded"):
        run(files / "pickle.npy", "--labels", files / "l.npy")


@pytest.mark.parametrize(
    ("embeddings", "message"),
    [
        ("both.npz", "the file holds 2 arrays(.|\n)*embeddings, labels"),
        ("both.npz:embedding", "no array is called 'embedding'(.|\n)*near embeddings"),
        ("both.safetensors:x", "no array is called 'x'"),
        ("missing.npy", "there is no such file"),
        ("missing.npz:a", "there is no such file"),
        ("text.txt", ".txt is not a kind of array file"),
        ("empty.npy", "cannot read the array"),
        ("empty.npz", "cannot read the array"),
        ("empty.safetensors", "cannot read the array"),
        ("l.npy", "expected rows of embeddings"),
    ],
)
def test_files_that_cannot_be_scored_are_named(files, embeddings, message):
    for name in ("text.txt", "empty.npy", "empty.npz", "empty.safetensors"):
        (files / name).write_bytes(b"")
    with pytest.raises(DataError, match=message) as caught:
        run(files / embeddings, "--labels", files / "l.npy")
    assert "\n" not in caught.value.message


def test_damaged_and_mislabelled_files_are_refused(files):
    plain = (files / "e.npy").read_bytes()
    archive = bytearray((files / "both.npz").read_bytes())
    archive[200:260] = bytes(60)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }\n"
    made = {
        "array.npz": plain,
        "archive.npy": (files / "both.npz").read_bytes(),
        "half.npy": plain[: len(plain) // 2],
        "damaged.npz": bytes(archive),
    }
    for name, shape in (
        ("huge", b"(10000000000000, 64)"),
        ("negative", b"(-3, 64)"),
        ("true", b"(True, 64)"),
    ):
        text = header % shape
        made[f"{name}.npy"] = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
    for name, content in made.items():
        (files / name).write_bytes(content)
        source = f"{files / name}:embeddings" if name == "damaged.npz" else files / name
        with pytest.raises(DataError):
            run(source, "--labels", files / "l.npy")
    with pytest.raises(DataError, match="there is no such file"):
        run("x" * 5000 + ".npy", "--labels", files / "l.npy")


def test_labels_of_another_length_are_refused(files):
    np.save(files / "short.npy", LABELS[:-1])
    with pytest.raises(DataError, match="expected 40 labels"):
        run(files / "e.npy", "--labels", files / "short.npy")


def test_an_unknown_metric_is_a_usage_error(files):
    with pytest.raises(UsageError, match="no metric named 'recal_at_1'"):
        run(files / "e.npy", "--labels", files / "l.npy", "--metrics", "recal_at_1")


def test_the_choice_of_distances_is_the_scorers():
    assert set(DISTANCES) == set(SCORED_DISTANCES)
    assert TIES == SCORED_TIES


def test_help_loads_neither_torch_nor_numpy():
    code = (
        "import sys; from click.testing import CliRunner; from dmlbench.cli.score import command; "
        "assert CliRunner().invoke(command, ['--help']).exit_code == 0; "
        "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
