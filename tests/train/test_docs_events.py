"""`docs/plugins/events.md` says what the code says."""

import re
from pathlib import Path

from dmlbench.train.names import EVENTS, NAMES, READABLE

PAGE = (Path(__file__).parents[2] / "docs" / "plugins" / "events.md").read_text(encoding="utf-8")


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_event_has_a_section_and_nothing_else_has():
    assert tuple(re.findall(r"^### `(\w+)`$", section("Events"), flags=re.MULTILINE)) == EVENTS


def test_every_event_says_what_it_may_read():
    for event, text in zip(EVENTS, section("Events").split("\n### ")[1:], strict=True):
        assert text.startswith(f"`{event}`")
        assert re.findall(r"^Reads: (.+)\.$", text, flags=re.MULTILINE) == [
            ", ".join(sorted(READABLE[event]))
        ]


def test_every_service_is_documented_and_no_other():
    services = {name for name, entry in NAMES.items() if entry.scope in ("service", "forward")}
    found = re.findall(r"^\| `(\w+)[`(]", section("Services"), flags=re.MULTILINE)
    assert sorted(found) == sorted(services)


def test_every_other_optional_method_is_documented():
    found = set(re.findall(r"^\| `(\w+)\(", section("Other methods"), flags=re.MULTILINE))
    core = {"draw", "backbone", "head", "augment_images", "augment", "mine", "loss", "combine", "__init__"}
    assert found == {"param_groups", "views"} | (set(READABLE) - set(EVENTS) - core)
