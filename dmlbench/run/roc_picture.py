"""A ROC curve as a picture: SVG, written without any library."""

from __future__ import annotations

import math
from html import escape

from dmlbench.score.roc import Roc

_WIDTH, _HEIGHT, _LEFT, _TOP = 480, 360, 60, 30
_RIGHT, _BOTTOM = 460, 310
"""Of the frame, in pixels."""


def roc_picture(curve: Roc, title: str) -> str:
    """TAR over FAR, the latter by powers of ten from below the share of one impostor: the corner that counts.

    Points that fall on one pixel are drawn once. Where no impostor is accepted the curve is on the left edge.
    """
    rates = curve.far[curve.far > 0]
    decades = math.floor(-math.log10(float(rates.min()))) + 1

    def across(far: float) -> float:
        share = 1 + math.log10(far) / decades if far > 0 else 0.0
        return round(_LEFT + share * (_RIGHT - _LEFT), 1)

    def up(tar: float) -> float:
        return round(_BOTTOM - tar * (_BOTTOM - _TOP), 1)

    points = zip(curve.far.tolist(), curve.tar.tolist(), strict=True)
    line = " ".join(dict.fromkeys(f"{across(far)},{up(tar)}" for far, tar in points))
    chance = " ".join(
        f"{across(10 ** (-decades * step / 50))},{up(10 ** (-decades * step / 50))}" for step in range(51)
    )
    powers = {f"1e-{n}" if n else "1": across(10.0**-n) for n in range(decades + 1)}
    marks = [
        *(_mark(x, _BOTTOM + 16, "middle", name) for name, x in powers.items()),
        *(_mark(_LEFT - 6, up(n / 5) + 4, "end", f"{n / 5:.1f}") for n in range(6)),
        _mark((_LEFT + _RIGHT) / 2, _BOTTOM + 36, "middle", "false accept rate"),
        _mark((_LEFT + _RIGHT) / 2, _TOP - 10, "middle", escape(title)),
        f'<text transform="translate(16 {(_TOP + _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "true accept rate</text>",
    ]
    grid = "".join(
        [
            *(f"M{x} {_TOP}V{_BOTTOM}" for x in powers.values()),
            *(f"M{_LEFT} {up(n / 5)}H{_RIGHT}" for n in range(6)),
        ]
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<path d="{grid}" stroke="#ddd"/>',
            f'<polyline points="{chance}" fill="none" stroke="#999" stroke-dasharray="4"/>',
            f'<polyline points="{line}" fill="none" stroke="#0050a0" stroke-width="2"/>',
            *marks,
            "</svg>\n",
        ]
    )


def _mark(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'
