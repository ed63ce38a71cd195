"""The name table is public API."""

from pathlib import Path

from dmlbench.train.names import EVENTS, IN_PLACE_OF, NAMES, READABLE

PINNED = """
anchors ball batch_size by_class class_counts domain embed embed_all embedding_dim embeddings epoch
epoch_steps feature_dim feature_maps features first_labels generator head heads image_channels image_size
images indices is_synthetic label_counts labels map_widths negatives num_classes num_labels num_samples
pairs parameters parts positives progress raw ref_labels ref_relevance refs relevance similarity source
step steps teacher teacher_dim term_heads term_names to_view train_domain train_indices train_labels
train_relevance train_superclass triplets unit valid weights
"""


def test_a_name_is_never_added_or_removed_by_accident():
    assert sorted(NAMES) == PINNED.split()


def test_events_are_pinned():
    assert EVENTS == ("on_train_start", "relabel", "on_epoch_start", "before_main", "after_step")


def test_every_scope_that_a_moment_reads_has_names():
    scopes = {name.scope for name in NAMES.values()}
    assert set().union(*READABLE.values()) == scopes


def test_what_stands_in_the_place_of_a_class_exists_at_the_same_moments():
    assert {NAMES[name].scope == NAMES[other].scope for name, other in IN_PLACE_OF.items()} == {True}


def test_no_name_gives_the_data_set_or_hidden_labels():
    assert not {"dataset", "task", "clean_labels", "test_labels", "validation_labels"} & set(NAMES)


def test_every_name_and_moment_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "plugins" / "names.md").read_text(encoding="utf-8")
    missing = [name for name, entry in NAMES.items() if f"| `{name}` | {entry.doc}" not in page]
    assert missing == []
    assert [event for event in EVENTS if f"`{event}`" not in page] == []
