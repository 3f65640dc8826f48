import pytest

from monitor.model.plugin import UnknownKindError, load


def test_kind_is_the_name_of_a_module() -> None:
    assert load("monitor.model", "bogon").__name__ == "monitor.model.bogon"


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(UnknownKindError, match=r"unknown kind 'htps'; known: .*bogon, .*plugin") as caught:
        load("monitor.model", "htps")
    assert "plugin" in caught.value.known
