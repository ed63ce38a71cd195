from __future__ import annotations

import shutil

import pytest
from dmlbench_plugins.datasets.csv_list import CsvList
from PIL import Image

from dmlbench.api import DataError
from dmlbench.data.pictures import UnreadablePicture, read_picture
from dmlbench.data.split import split_items
from dmlbench.spec.task import Split


@pytest.fixture
def pictures(tmp_path, class_folders):
    return class_folders(tmp_path / "p", classes=4, each=2, names="{}")


def listed(tmp_path, *lines: str):
    file = tmp_path / "items.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    reader = CsvList()
    return reader, reader.items(file)


def test_a_line_is_a_picture_and_columns_say_what_is_known(tmp_path, pictures):
    _, found = listed(
        tmp_path,
        "label,path,superclass,group,labels,domain,role,photographer,split",
        'Leek,p/0/0.png,Allium,g1,"green; long;green",shop,query,Ann,test',
        "Onion,p/0/1.png,,,round,home,gallery,Bo,VAL",
    )
    assert [(i.path, i.label, i.superclass, i.group, i.labels, i.part) for i in found] == [
        ("p/0/0.png", "Leek", "Allium", "g1", ("green", "long"), "test"),
        ("p/0/1.png", "Onion", None, "Onion", ("round",), "validation"),
    ]
    assert found[0].columns == {"domain": "shop", "role": "query", "photographer": "Ann"}
    assert found[1].place == f"{tmp_path / 'items.csv'}, line 3"


def test_the_least_that_is_needed_is_path_and_label(tmp_path, pictures):
    reader, found = listed(tmp_path, "\ufeffpath,label", "", "./p/1/0.png,a", "p/1/1.png , a ")
    assert [(i.path, i.label, i.group, i.part) for i in found] == [
        ("p/1/0.png", "a", "a", ""),
        ("p/1/1.png", "a", "a", ""),
    ]
    assert reader.source(found[0]) == (pictures / "1" / "0.png").read_bytes()
    assert reader.side(found[0]) == 30


def test_absolute_paths_say_the_same_wherever_the_data_is(tmp_path, pictures):
    copy = tmp_path / "elsewhere" / "q"
    shutil.copytree(pictures, copy)
    names = []
    for root in (pictures, copy):
        reader, found = listed(tmp_path, "path,label", f"{root}/0/0.png,a", f"{root}/1/0.png,b")
        names.append([item.path for item in found])
        assert reader.source(found[1]) == (root / "1" / "0.png").read_bytes()
    assert names == [["0/0.png", "1/0.png"]] * 2


def test_a_box_is_all_that_is_seen(tmp_path):
    image = Image.new("RGB", (60, 40), "red")
    image.paste("blue", (10, 20, 30, 30))
    image.save(tmp_path / "a.png")
    reader, found = listed(
        tmp_path, "path,label,box", 'a.png,blue,"10,20,20,10"', "a.png,red,40 0 10.2 9.9", "a.png,all,"
    )
    blue, red, whole = (
        next(item for item in found if item.label == label) for label in ("blue", "red", "all")
    )
    assert (blue.path, red.path, whole.path) == ("a.png#10,20,30,30", "a.png#40,0,50,10", "a.png")
    # Twice as wide as high: white above and below.
    assert set(reader.picture(blue, 20).getcolors()) == {(200, (0, 0, 255)), (200, (255, 255, 255))}
    assert reader.picture(red, 20).getcolors() == [(400, (255, 0, 0))]
    assert (reader.side(blue), reader.side(red), reader.side(whole)) == (10, 10, 40)


def test_a_box_that_leaves_the_picture_is_named_with_its_line(tmp_path, pictures):
    reader, found = listed(tmp_path, "path,label,box", 'p/0/0.png,a,"30,0,20,20"')
    with pytest.raises(
        UnreadablePicture, match=r"the box ends at \(50, 20\), the picture has 40 x 30"
    ) as caught:
        read_picture(reader, found[0], 8, 3)
    assert caught.value.place.endswith("items.csv, line 2")


def test_the_split_of_the_file_is_kept(tmp_path, pictures):
    sides = ("train", "train", "validation", "test")
    lines = [f"p/{c}/{n}.png,{c},{side}" for c, side in enumerate(sides) for n in (0, 1)]
    _, found = listed(tmp_path, "path,label,split", *lines)
    split = split_items(found, Split(rule="given", seed=0))
    assert {side: sorted({item.label for item in items}) for side, items in split.items()} == {
        "train": ["0", "1"],
        "validation": ["2"],
        "test": ["3"],
    }


def test_a_class_on_two_sides_is_named_with_both_lines(tmp_path, pictures):
    _, found = listed(
        tmp_path, "path,label,split", "p/0/0.png,a,train", "p/1/0.png,b,test", "p/0/1.png,a,test"
    )
    with pytest.raises(DataError, match="class 'a' is on two sides: train and test") as caught:
        split_items(found, Split(rule="given", seed=0))
    file = tmp_path / "items.csv"
    assert caught.value.place == f"{file}, line 2 and {file}, line 4"


@pytest.mark.parametrize(
    ("lines", "said", "line"),
    [
        (["path,class", "a,b"], "no column 'label'", 1),
        (["path,label,spilt", "a,b,train"], "'spilt' is nothing that is read", 1),
        (["path,Label", "a,b"], "'Label' is nothing that is read", 1),
        (["path,label,path", "a,b,c"], "two columns have one name", 1),
        (["path,label", "a,b,c"], "3 cells, and 2 columns", 2),
        (["path,label", "a,b", "a"], "1 cells, and 2 columns", 3),
        (["path,label", "a,b", "c,"], "`label` is empty", 3),
        (["path,label", "a,b", ",c"], "`path` is empty", 3),
        (["path,label,split", "a,b,train", "c,d,"], "split '' is not train, validation or test", 3),
        (["path,label,split", "a,b,tset"], "split 'tset' is not", 2),
        (["path,label,labels", "a,b,x", "c,d, ;"], "`labels` is empty", 3),
        (["path,label,role", "a,b,guest"], "role 'guest' is not query or gallery", 2),
        (["path,label,box", 'a,b,"1,2,3"'], "the box '1,2,3' is not x,y,w,h", 2),
        (["path,label,box", 'a,b,"0,0,0,9"'], "holds no pixel", 2),
        (["path,label,box", 'a,b,"-1,0,5,5"'], "holds no pixel", 2),
        (["path,label,box", "a,b,1 2 nan 4"], "is not x,y,w,h", 2),
        (["path,label", 'a,"b'], "not CSV", 2),
        (["path,label", "a,b", "", "./a,c"], "a is there twice", 4),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, lines, said, line):
    with pytest.raises(DataError, match=said) as caught:
        listed(tmp_path, *lines)
    assert caught.value.place.endswith(f"items.csv, line {line}")


def test_a_near_miss_is_answered_with_the_name(tmp_path):
    with pytest.raises(DataError) as caught:
        listed(tmp_path, "path,label,spilt", "a,b,train")
    assert caught.value.near == "split"


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"path,label\n\xff,a\n"], ids=["empty", "blank", "latin-1"]
)
def test_a_file_that_is_no_utf8_csv_is_named(tmp_path, content):
    (tmp_path / "items.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"empty|not UTF-8") as caught:
        CsvList().items(tmp_path / "items.csv")
    assert caught.value.place == str(tmp_path / "items.csv")


def test_a_picture_that_is_not_there_is_named_with_its_line(tmp_path):
    reader, (item,) = listed(tmp_path, "path,label", "gone.png,a")
    with pytest.raises(UnreadablePicture, match=r"gone\.png cannot be read: .*No such file") as caught:
        read_picture(reader, item, 8, 3)
    assert caught.value.place.endswith("items.csv, line 2")
