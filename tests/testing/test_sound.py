"""Components that ask for unusual things and keep every promise: the kit must not cry wolf."""

import pytest

from dmlbench.registry.descriptors import SamplerPlugin
from dmlbench.registry.report import Entry
from dmlbench.testing.furniture import offering
from dmlbench.testing.report import check_entry

SOUND = [
    ("loss", "two_parts", {}),
    ("loss", "draws", {}),
    ("loss", "after_the_teacher", {}),
    ("loss", "in_the_ball", {}),
    ("loss", "weighted", {}),
    ("loss", "by_role", {}),
    ("loss", "Critic", {}),
    ("loss", "Learnt", {"role": "combiner"}),
    ("loss", "Relabels", {"role": "listener"}),
    ("sampler", "FirstOfClass", {"provides": ("is_first",)}),
    ("miner", "uneven_weights", {"yields": "weights"}),
    ("augmenter", "flips", {"at": "image"}),
    ("augmenter", "shown_twice", {"at": "image"}),
    ("augmenter", "towards_the_mean", {"at": "raw"}),
    ("backbone", "TwoChannels", {}),
    ("loss", "shared_labels", {}),
    ("loss", "LabelProxies", {}),
    ("miner", "alike_and_unlike", {"yields": "triplets"}),
    ("sampler", "RareLabelsFirst", {}),
    ("augmenter", "between_sharers", {"at": "unit"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "fields"), SOUND, ids=[name for _, name, _ in SOUND])
def test_a_sound_component_passes_every_check(entry_of, kind, name, fields):
    first = entry_of("sampler", "sound/parts:FirstOfClass")
    plugin = SamplerPlugin(id="first-of-class", target=first.plugin.target, provides=("is_first",))
    with offering([Entry(plugin, "test-roles", "0", path=first.path)]):
        report = check_entry(entry_of(kind, f"sound/parts:{name}", **fields))
    assert not report.failed, [result for result in report.results if result.status == "failed"]
    assert report.counts["run"] >= 10


def test_what_does_not_apply_is_skipped_with_its_reason(entry_of):
    report = check_entry(entry_of("loss", "sound/parts:NeedsMargin"))
    assert report.counts["run"] == 1
    details = {result.id: result.detail for result in report.results}
    assert details["build"] == "has settings without a default: margin"
    assert details["values/finite"] == "has settings without a default: margin"


def test_settings_may_be_given(entry_of):
    report = check_entry(entry_of("loss", "sound/parts:NeedsMargin"), {"margin": 0.5})
    assert not report.failed
    assert report.counts["run"] > 15
