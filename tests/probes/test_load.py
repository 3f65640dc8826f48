import pytest

from monitor.model.plugin import UnknownKindError
from monitor.probes import Probe, load, web

_: Probe = web  # mypy compares the module with what a probe must offer


def test_kind_names_its_module() -> None:
    assert load("web") is web


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(UnknownKindError, match="unknown kind 'htps'; known: web"):
        load("htps")
