from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from dmlbench_plugins.datasets import ferplus as module
from dmlbench_plugins.datasets.ferplus import EXPRESSIONS, FerPlus, labelled, majority

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture

HEADER = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
VOTES = [
    "Training,fer0000000.png,4,0,0,1,3,1,0,0,1,0",  # 4 of 7 when single votes are dropped
    "Training,fer0000001.png,4,0,0,1,4,1,0,0,0,0",  # no majority
    "Training,,0,0,0,0,0,0,0,0,0,10",  # no name: no face
    "PublicTest,fer0000003.png,0,9,0,0,0,0,0,1,0,0",
    "PrivateTest,fer0000004.png,0,0,0,0,0,0,0,8,2,0",
    "PrivateTest,fer0000005.png,1,1,0,0,0,0,0,0,8,0",  # most say unknown
]


def faces() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (len(VOTES), 48 * 48)))


def fer2013(form: str) -> str:
    """FER2013 in either of its forms."""
    rows = []
    for face, vote in zip(faces(), VOTES, strict=True):
        pixels, usage = " ".join(map(str, face)), vote.split(",")[0]
        rows.append(f"3,{pixels},{usage}" if form == "fer2013.csv" else f"3,{usage},{pixels}")
    header = "emotion,pixels,Usage" if form == "fer2013.csv" else "emotion, Usage, pixels"
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture(params=["fer2013.csv", "icml_face_data.csv"])
def root(request, tmp_path, monkeypatch, written) -> Path:
    monkeypatch.setattr(
        module, "PUBLISHED", {"Training": (1, 1), "PublicTest": (1, 1), "PrivateTest": (1, 1)}
    )
    votes = "\n".join([HEADER, *VOTES]) + "\n"
    return written(tmp_path / "fer", {"fer2013new.csv": votes, request.param: fer2013(request.param)})


def test_faces_with_a_majority_stay(root):
    fer = FerPlus()
    items = fer.items(root)
    fer.check_counts(items)
    assert [(item.path, item.label, item.columns["usage"], item.part) for item in items] == [
        ("PrivateTest/00004", "contempt", "PrivateTest", "test"),
        ("PublicTest/00003", "happiness", "PublicTest", "validation"),
        ("Training/00000", "neutral", "Training", "train"),
    ]
    assert all(item.group == item.path for item in items)
    for item, face in zip(items, np.array(faces())[[4, 3, 0]], strict=True):
        picture = fer.picture(item, 48)
        assert picture.mode == "L"
        assert np.array_equal(np.asarray(picture), face.reshape(48, 48))


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([5, 0, 0, 5, 0, 0, 0, 0, 0, 0], None),
        ([6, 4, 0, 0, 0, 0, 0, 0, 0, 0], "neutral"),
        ([1, 1, 2, 1, 1, 1, 1, 1, 1, 0], "surprise"),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1, 1], None),
        ([0, 0, 0, 0, 0, 0, 0, 0, 0, 10], None),
        ([2, 2, 2, 0, 0, 0, 0, 4, 0, 0], None),
    ],
)
def test_the_majority_needs_more_than_half_of_what_is_no_single_vote(votes, expected):
    assert majority(votes) == expected


def test_a_row_with_too_few_pixels_is_a_face_that_cannot_be_read(root):
    (file,) = [path for path in root.iterdir() if path.name != "fer2013new.csv"]
    lines = file.read_text().splitlines()
    lines[1] = lines[1].replace(" ".join(map(str, faces()[0])), "1 2 3")
    file.write_text("\n".join(lines))
    fer = FerPlus()
    item = fer.items(root)[2]
    with pytest.raises(UnreadablePicture, match=r"Training/00000 cannot be read: 3 pixels, not 48 x 48"):
        read_picture(fer, item, 48, 1)


def test_lists_in_another_order_are_refused(root):
    (file,) = [path for path in root.iterdir() if path.name != "fer2013new.csv"]
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([header, *reversed(rows)]))
    with pytest.raises(DataError, match=r"row 0 is PrivateTest in \w+\.csv and Training in fer2013new\.csv"):
        FerPlus().items(root)


def test_what_is_missing_is_named(root):
    (root / "fer2013new.csv").write_text("emotion,pixels\n")
    with pytest.raises(DataError, match=r"fer2013new\.csv begins with 'emotion,pixels'"):
        FerPlus().items(root)
    (root / "fer2013new.csv").write_text("\n".join([HEADER, "Training,x.png,1,2"]))
    with pytest.raises(DataError, match=r"line 2 of fer2013new\.csv has no ten counts"):
        FerPlus().items(root)
    (root / "fer2013new.csv").write_text(HEADER + "\n")
    for path in root.iterdir():
        if path.name != "fer2013new.csv":
            path.write_text("emotion,pixels\n")
            with pytest.raises(DataError, match="has no columns pixels and Usage"):
                FerPlus().items(root)
            path.unlink()
    with pytest.raises(DataError, match=r"neither fer2013\.csv nor icml_face_data\.csv") as caught:
        FerPlus().items(root)
    assert "Kaggle" in caught.value.way_out
    (root / "fer2013new.csv").unlink()
    with pytest.raises(DataError, match=r"no folder with fer2013new\.csv"):
        FerPlus().items(root)


def test_the_published_votes_leave_the_published_counts(test_data):
    text = test_data("ferplus/fer2013new.csv").read_text()
    found = labelled(text)
    assert Counter(face.usage for face in found) == {
        usage: pictures for usage, (_, pictures) in module.PUBLISHED.items()
    }
    named = [line.split(",")[0] for line in text.splitlines()[1:] if line.split(",")[1]]
    assert Counter(named) == {"Training": 28561, "PublicTest": 3579, "PrivateTest": 3574}
    training = Counter(face.expression for face in found if face.usage == "Training")
    assert [training[name] for name in EXPRESSIONS] == [8740, 7287, 3149, 3014, 2100, 119, 532, 119]
    assert found[0] == (1, "Training", "neutral")  # row 0 has 4 of 9
    assert len({face.path for face in found}) == len(found)
