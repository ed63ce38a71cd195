"""Components broken on purpose: each is caught by the check that is meant for it, and by no other."""

import pytest

from dmlbench.testing.catalogue import CHECKS
from dmlbench.testing.report import check_entry

LOSSES = {
    "losses:unknown_name": "build",
    "losses:not_a_number": "values/finite",
    "losses:fails_later": "train/runs",
    "losses:changes_labels": "conduct/inputs",
    "losses:changes_embeddings": "conduct/inputs",
    "losses:mean_over_no_positives": "degenerate/all-distinct",
    "losses:mean_over_no_negatives": "degenerate/one-class",
    "losses:mean_over_no_triplets": "degenerate/nothing-mined",
    "losses:labels_through_float": "degenerate/large-labels",
    "losses:order_of_rows": "order/rows",
    "losses:unseeded": "train/same-bits",
    "losses:root_of_zero": "degenerate/duplicates",
    "losses:no_row_expected_alone": "degenerate/one-row",
    "losses:views_rows": "degenerate/non-contiguous",
    "losses:square_expected": "degenerate/other-refs",
    "losses:batch_cubed": "growth/elements",
    "losses:ties_in_rows": "values/bf16-rows",
    "losses:overflows_in_bf16": "train/bf16",
    "losses:hides_nan": "values/nan-shown",
    "losses:detached_part": "gradient/correct",
    "losses:wrong_backward": "gradient/correct",
    "losses:mean_over_nothing_shared": "degenerate/all-distinct",
    "stateful:Attribute": "state/declared",
    "stateful:closure": "state/declared",
    "stateful:global_state": "state/resume",
    "stateful:LazyBuffer": "state/loads",
    "stateful:ResetOnLoad": "state/restored",
    "stateful:NobodySteps": "train/parameters",
    "stateful:InAList": "train/parameters",
    "stateful:MovesTheTrunk": "conduct/networks",
    "stateful:LeavesGradients": "conduct/networks",
}
MINERS = {
    "miners:past_the_end": ("pairs", "miner/form"),
    "miners:pairs_with_itself": ("pairs", "miner/no-self-pairs"),
    "miners:nearest_of_any_class": ("pairs", "miner/right-classes"),
    "miners:twice": ("triplets", "miner/no-duplicates"),
    "miners:first_half": ("pairs", "order/rows"),
    "miners:table_of_fifty": ("weights", "miner/large-batch"),
    "miners:equal_labels_alone": ("pairs", "miner/right-classes"),
}
SAMPLERS = {
    "samplers:NeverTheLast": "sampler/every-class",
    "samplers:TooMany": "sampler/batch",
    "samplers:KeepsLeftOut": "sampler/left-out",
    "samplers:Uneven": "sampler/per-class",
    "samplers:LooksAhead": "sampler/no-look-ahead",
    "samplers:OneLabelNever": "sampler/every-class",
}
AUGMENTERS = {
    "augmenters:wrong_width": "augmenter/form",
    "augmenters:source_of_copies": "augmenter/source",
    "augmenters:old_rows_too": "augmenter/new-rows",
    "augmenters:too_long": "augmenter/unit-length",
    "augmenters:root_of_zero": "augmenter/gradient",
}
NETWORKS = {
    "networks:WrongWidth": ("backbone", "network/width"),
    "networks:NotANumber": ("backbone", "network/finite"),
    "networks:OverflowsInBf16": ("backbone", "network/bf16"),
    "networks:LeavesATrace": ("backbone", "network/evaluation"),
    "networks:RowsTogether": ("backbone", "network/row-by-row"),
    "networks:ColourOnly": ("backbone", "network/channels"),
    "networks:DropsRows": ("head", "network/rows"),
    "networks:Squeezes": ("head", "network/one-row"),
    "networks:ViewsRows": ("head", "network/layout"),
}
DATASETS = {
    "datasets:TwoOfOnePath": "dataset/items",
    "datasets:OneClassInTwoGroups": "dataset/items",
    "datasets:AnotherPicture": "dataset/repeatable",
    "datasets:Blank": "dataset/pictures",
}
BROKEN = [
    *(("loss", name, {}, check) for name, check in LOSSES.items()),
    *(("miner", name, {"yields": y}, check) for name, (y, check) in MINERS.items()),
    *(("sampler", name, {}, check) for name, check in SAMPLERS.items()),
    *(("augmenter", name, {"at": "unit"}, check) for name, check in AUGMENTERS.items()),
    *(("backbone", name, {"role": r}, check) for name, (r, check) in NETWORKS.items()),
    *(("dataset", name, {}, check) for name, check in DATASETS.items()),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "fields", "check"), BROKEN, ids=[b[1] for b in BROKEN])
def test_a_broken_component_is_caught_by_its_check_and_by_no_other(entry_of, kind, name, fields, check):
    report = check_entry(entry_of(kind, f"broken/{name}", **fields))
    found = {result.id: result.detail for result in report.results if result.status == "failed"}
    assert list(found) == [check], found


def test_every_check_catches_something():
    caught = {check for *_, check in BROKEN}
    assert caught == CHECKS.keys() - {"declarations"}  # that one is in test_report
