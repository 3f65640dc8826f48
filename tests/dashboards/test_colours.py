"""Statuses and layers are told apart by everybody: with normal sight and with each of the three colour blindnesses."""

from collections.abc import Sequence
from itertools import combinations
from math import dist

import pytest

from dashboards.source.statuses import LAYERS, NOT_MEASURED, STATUSES

# Machado, Oliveira, Fernandes 2009, severity 1, for linear light.
SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
# sRGB to CIE XYZ, relative to the white point D65.
XYZ = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
WHITE = (0.9505, 1.0, 1.089)


def times(matrix: Sequence[Sequence[float]], vector: Sequence[float]) -> list[float]:
    return [sum(weight * part for weight, part in zip(row, vector, strict=True)) for row in matrix]


def lab(colour: str, sight: str) -> tuple[float, float, float]:
    """Return a colour in CIE L*a*b* as it is seen."""
    encoded = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in encoded]
    seen = [min(1.0, max(0.0, part)) for part in times(SIGHTS[sight], linear)]
    x, y, z = (part / white for part, white in zip(times(XYZ, seen), WHITE, strict=True))
    f = [part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116 for part in (x, y, z)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize(
    "colours",
    [
        [look.colour for look in (NOT_MEASURED, *STATUSES.values())],
        [look.colour for look in LAYERS.values()],
    ],
    ids=["statuses", "layers"],
)
def test_every_pair_stays_apart(colours: Sequence[str], sight: str) -> None:
    closest = min((dist(lab(one, sight), lab(other, sight)), one, other) for one, other in combinations(colours, 2))
    assert closest[0] > 15, closest


def test_the_usual_green_and_red_would_not() -> None:
    assert dist(lab("#73BF69", "deuteranopia"), lab("#F2495C", "deuteranopia")) < 10
