import pytest

from dmlbench.data.noise_list import read_noise_list
from dmlbench.errors import DataError

PATHS = ("images/001.Albatross/a.jpg", "images/001.Albatross/b.jpg", "images/002.Ani/a.jpg")
TEXT = """\
/data/CUB_200_2011/images/001.Albatross/a.jpg,1
/data/CUB_200_2011/images/001.Albatross/b.jpg,46
/data/CUB_200_2011/images/002.Ani/a.jpg,2

/data/CUB_200_2011/images/150.Wren/a.jpg,150
"""


def test_paths_of_the_authors_machine_end_as_ours_do():
    assert read_noise_list(TEXT, PATHS) == dict(zip(PATHS, (1, 46, 2), strict=True))


@pytest.mark.parametrize(
    ("text", "paths", "said"),
    [
        (
            TEXT,
            (*PATHS, "images/003.Jay/c.jpg"),
            "1 of 4 training images are not in it, e.g. images/003.Jay/c.jpg",
        ),
        (TEXT + "/x/images/002.Ani/a.jpg,3\n", PATHS, "line 6 gives images/002.Ani/a.jpg a second label"),
        (TEXT + "no comma\n", PATHS, "line 6 is not `path,label`"),
        (TEXT + "path,word\n", PATHS, "line 6 is not `path,label`"),
        (TEXT, (), "does not say which file"),
    ],
)
def test_what_is_wrong_with_a_list_is_said_with_its_line(text, paths, said):
    with pytest.raises(DataError) as error:
        read_noise_list(text, paths)
    assert said in str(error.value)
