import math
import xml.etree.ElementTree as ElementTree

import torch

from dmlbench.run.roc_picture import roc_picture
from dmlbench.score.roc import roc

SVG = "{http://www.w3.org/2000/svg}"


def curve_of(picture):
    """The points of the curve as rates, read back from pixels, and the decades of the axis."""
    root = ElementTree.fromstring(picture)
    _, line = root.findall(f"{SVG}polyline")
    decades = sum(text.text.startswith("1e-") for text in root.findall(f"{SVG}text"))
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    return [(10 ** (decades * ((x - 60) / 400 - 1)), (310 - y) / 280) for x, y in points], decades


def test_every_point_of_the_curve_is_where_its_rates_say():
    generator = torch.Generator().manual_seed(0)
    genuine = torch.arange(400) % 2 == 0
    curve = roc(torch.randn(400, generator=generator) + genuine, genuine)
    points, decades = curve_of(roc_picture(curve, "any"))
    assert decades == math.ceil(math.log10(200))
    known = list(zip(curve.far.tolist(), curve.tar.tolist(), strict=True))
    for far, tar in known:
        place = max(far, 10**-decades)
        assert any(abs(math.log10(place / x)) < 0.01 and abs(tar - y) < 0.01 for x, y in points)
    assert points == sorted(points)
    assert len(points) <= len(known)


def test_a_perfect_curve_runs_along_the_left_edge_and_the_top():
    curve = roc(torch.tensor([0.9, 0.8, 0.2, 0.1]), torch.tensor([True, True, False, False]))
    points, decades = curve_of(roc_picture(curve, "any"))
    assert decades == 1
    assert points == [(0.1, 0.0), (0.1, 0.5), (0.1, 1.0), *points[3:]]
    assert points[-1] == (1.0, 1.0)


def test_a_title_of_any_letters_is_text():
    curve = roc(torch.tensor([0.9, 0.1]), torch.tensor([True, False]))
    root = ElementTree.fromstring(roc_picture(curve, "a<b> & 'c'"))
    assert "a<b> & 'c'" in [text.text for text in root.iter(f"{SVG}text")]
