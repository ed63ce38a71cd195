from pathlib import Path

import pytest

from dmlbench import protocols
from dmlbench.errors import SpecError, UsageError
from dmlbench.spec.model import digest

#: Never edit a line here. A frozen protocol that has to change becomes `v2`.
FROZEN: dict[str, str] = {}

PAGES = Path(__file__).parents[2] / "docs" / "protocols"


def test_the_lock_says_what_the_files_say():
    assert protocols.locked() == protocols.current()


def test_frozen_protocols_never_move():
    assert {name: digest(protocols.load_protocol(name)) for name in protocols.frozen_ids()} == FROZEN


def test_every_official_task_names_a_track_and_a_protocol_that_exist():
    for name in protocols.locked()["task"]:
        task = protocols.load_task(name)
        assert protocols.load_track(task.track)
        assert protocols.load_protocol(task.protocol)


def test_every_official_track_has_a_budget_for_every_profile():
    profiles = set(protocols.load_protocol("zero-shot/v1").profiles)
    for name in protocols.locked()["track"]:
        assert set(protocols.load_track(name).budget) == profiles


def test_smoke_and_quick_never_look_at_test_classes():
    for name in protocols.locked()["protocol"]:
        profiles = protocols.load_protocol(name).profiles
        assert {profiles["smoke"].scores, profiles["quick"].scores} == {"validation"}


def test_every_protocol_has_a_page_of_its_own_and_no_page_is_about_another():
    pages = {page.stem: page.read_text() for page in PAGES.glob("*.md")}
    known = {name.partition("/")[0]: name for name in protocols.locked()["protocol"]}
    assert pages.keys() == known.keys()
    for page, name in known.items():
        first = pages[page].partition("\n")[0]
        assert first == f"# {name} ({protocols.load_protocol(name).status})"
        assert "What a component may see" in pages[page] or "Components see what" in pages[page]


def test_a_protocol_that_hides_a_column_shows_it_to_nobody():
    rules = [protocols.load_protocol(name) for name in protocols.locked()["protocol"]]
    hidden = {one.classes.hidden for one in rules if one.classes is not None}
    assert hidden == {"subclass"}
    assert not [one.id for one in rules if hidden & {*one.columns}]


@pytest.mark.parametrize(
    ("load", "name", "near"),
    [
        (protocols.load_protocol, "zero-shoot/v1", "zero-shot/v1"),
        (protocols.load_task, "emojy", "emoji"),
        (protocols.load_track, "emoji-conv4-32px", "emoji-conv4-32px-d128"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(load, name, near):
    with pytest.raises(UsageError) as error:
        load(name)
    assert error.value.near == near
    assert "dmlbench list" in error.value.way_out


def test_own_rules_are_found_below_the_current_folder(project):
    assert protocols.load_protocol("local/tiny/v1").metrics == ("recall_at_1", "map_at_r")
    assert protocols.load_task("tiny").track == "tiny"
    assert [protocols.ids(kind)[-1] for kind in ("protocol", "task", "track")] == [
        "local/tiny/v1",
        "tiny",
        "tiny",
    ]


def test_own_rules_are_not_in_the_lock_and_never_frozen(project):
    path = project / "local" / "tiny" / "v1.toml"
    path.write_text(path.read_text().replace('"draft"', '"frozen"'))
    assert "local/tiny/v1" not in protocols.current()["protocol"]
    assert "local/tiny/v1" not in protocols.frozen_ids()


def test_an_own_task_cannot_pass_for_an_official_one(project):
    text = (project / "local" / "tasks" / "tiny.toml").read_text()
    (project / "local" / "tasks" / "emoji.toml").write_text(text.replace('"tiny"', '"emoji"', 1))
    with pytest.raises(UsageError, match="official task") as error:
        protocols.load_task("emoji")
    assert error.value.place.endswith("emoji.toml")


def test_a_file_whose_id_is_another_is_refused(project):
    (project / "local" / "tasks" / "tiny.toml").rename(project / "local" / "tasks" / "other.toml")
    with pytest.raises(UsageError, match="says id = 'tiny'"):
        protocols.load_task("other")


def test_a_mistake_in_an_own_file_names_file_and_key(project):
    path = project / "local" / "tracks" / "tiny.toml"
    path.write_text(path.read_text().replace("batch_size", "batchsize"))
    with pytest.raises(SpecError) as error:
        protocols.load_track("tiny")
    assert "tiny.toml" in str(error.value)
    assert "batch_size" in str(error.value)


def test_tables_are_about_the_primary_metric_of_the_protocol_where_it_is_known(project):
    assert protocols.primary_of("zero-shot/v1") == "map_at_r"
    assert protocols.primary_of("multi-label/v1") == "ndcg_graded_at_100"
    assert protocols.primary_of("local/tiny/v1") == "map_at_r"
    assert protocols.primary_of("local/of-somebody-else/v1") == "map_at_r"
