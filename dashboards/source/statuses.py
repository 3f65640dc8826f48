"""How a status looks: one number, one text and one colour, the same in every panel.

The numbers order by gravity, so that the largest of several is the one to show: of a platform's targets at one place,
or of the rounds that fall into one step of a chart. The colours stay apart in the three common kinds of colour
blindness (docs/grafana.md, "Colours").
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from grafana_foundation_sdk.models import dashboard as model

from monitor.model.verdict import Status


class Look(msgspec.Struct, frozen=True):
    """What is shown for a number that a query returns."""

    code: int
    text: str
    colour: str


NOT_MEASURED: Final = Look(0, "not measured", "#CCCCCC")
STATUSES: Final = {
    Status.ACCESSIBLE: Look(1, "accessible", "#4393C3"),
    Status.INCONCLUSIVE: Look(2, "cannot tell", "#808080"),
    Status.DOWN: Look(3, "down everywhere", "#88CCEE"),
    Status.WITHHELD: Look(4, "withheld by platform", "#B5489A"),
    Status.THROTTLED: Look(5, "throttled", "#FFD24D"),
    Status.BLOCKED: Look(6, "blocked", "#E0433A"),
}
LAYERS: Final = {
    "dns": Look(1, "dns", "#0072B2"),
    "tcp": Look(2, "tcp", "#D55E00"),
    "tls": Look(3, "tls", "#CC79A7"),
    "http": Look(4, "http", "#E69F00"),
    "quic": Look(5, "quic", "#56B4E9"),
    "throughput": Look(6, "throughput", "#009E73"),
}
NOT_SEEN: Final = Look(0, "not seen", NOT_MEASURED.colour)
ONLINE: Final = (NOT_MEASURED, Look(1, "not online", "#808080"), Look(2, "online", "#4393C3"))
YES_NO: Final = (Look(0, "no", "#E0433A"), Look(1, "yes", "#4393C3"))


def status_mapping() -> list[model.ValueMapping]:
    """Return the mapping of statuses, for the numbers of PromQL and for the words of SQL alike."""
    numbers = {str(look.code): look for look in (NOT_MEASURED, *STATUSES.values())}
    words = {str(status): look for status, look in STATUSES.items()}
    return _mapping({**numbers, **words})


def code_mapping(looks: Sequence[Look]) -> list[model.ValueMapping]:
    """Return a mapping of numbers."""
    return _mapping({str(look.code): look for look in looks})


def _mapping(looks: dict[str, Look]) -> list[model.ValueMapping]:
    results = {
        key: model.ValueMappingResult(text=look.text, color=look.colour, index=index)
        for index, (key, look) in enumerate(looks.items())
    }
    return [model.ValueMap(options=results)]
