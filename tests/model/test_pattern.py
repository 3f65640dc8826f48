import pytest

from monitor.model.pattern import is_found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("welcome", b"a welcome page", True),
        ("(?i)WELCOME", b"a welcome page", True),
        ("wel.*page", b"a welcome page", True),
        ("^page", b"a page", False),
        ("پاکستان", "یہ پاکستان ہے".encode(), True),
        ("x", b"\xff\xfe\x00x", True),
        ("y", b"\xff\xfe\x00x", False),
    ],
)
def test_pattern_is_searched_in_bytes(pattern: str, text: bytes, found: bool) -> None:  # noqa: FBT001  a column
    assert is_found(pattern, text) is found


def test_pattern_that_would_take_others_for_ever_ends() -> None:
    assert not is_found("(a+)+$", b"a" * 65_536 + b"b")


@pytest.mark.parametrize("pattern", ["(", "(?=ahead)", r"(a)\1"])
def test_what_is_not_re2_is_our_mistake(pattern: str) -> None:
    with pytest.raises(ValueError, match="no RE2 expression"):
        is_found(pattern, b"a")
