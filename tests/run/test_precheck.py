"""A wrong signature is found before any run starts, whatever else the command asks for."""

import pytest


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("typo", ["asks for 'lables'", "near labels"]),
        ("typo_with_default", ["asks for 'embedings'", "near embeddings"]),
        ("setting_before_the_star", ["asks for 'margin'", "a setting stands after a '*': (…, *, margin=…)"]),
        ("star", ["takes *args"]),
    ],
)
def test_a_wrong_signature_ends_the_command_before_any_run(losses, dmlbench, name, said):
    line = (
        losses.read_text()
        .splitlines()
        .index(next(x for x in losses.read_text().splitlines() if f"def {name}(" in x))
    )
    done = dmlbench("run", "contrastive", f"./losses.py:{name}", "--task", "tiny", "--profile", "smoke")
    assert done.status == 2
    assert done.out == ""
    for words in (*said, f"in {losses}:{line + 1}"):
        assert words in done.err
    assert "Traceback" not in done.err
    assert not losses.with_name("runs").exists()


def test_a_class_is_checked_too(project, dmlbench):
    (project / "mine.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self, num_clases):\n"
        "        super().__init__()\n"
    )
    done = dmlbench("run", "./mine.py:Mine", "--task", "tiny", "--profile", "smoke")
    assert done.status == 2
    assert "loss's constructor asks for 'num_clases'" in done.err
    assert "near num_classes" in done.err
    assert f"in {project}/mine.py:3" in done.err


def test_a_misspelt_event_is_found(project, dmlbench):
    (project / "mine.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def forward(self, embeddings): return embeddings.sum()\n"
        "    def on_epoch_begin(self): ...\n"
    )
    done = dmlbench("run", "./mine.py:Mine", "--task", "tiny", "--profile", "smoke")
    assert done.status == 2
    assert "'on_epoch_begin', which is no event" in done.err
    assert "near on_epoch_start" in done.err


def test_a_constructor_that_raises_is_a_failed_run_with_its_frames(project, records):
    (project / "mine.py").write_text(
        "from torch import nn\n"
        "class Mine(nn.Module):\n"
        "    def __init__(self):\n"
        "        raise OverflowError('too much')\n"
    )
    done = records("./mine.py:Mine", "--profile", "smoke")
    assert done.status == 1
    assert done.records[0]["outcome"]["kind"] == "OverflowError"
    assert done.records[0]["outcome"]["frames"][-1] == "mine.py:4 __init__"
