import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.network.decoding import Body


def raw_deflate(content: bytes) -> bytes:
    squeezer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeezer.compress(content) + squeezer.flush()


CODED = [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate)]


@pytest.mark.parametrize(("encoding", "encode"), [("", bytes), ("br", bytes), *CODED])
@given(content=st.binary(max_size=300), size=st.integers(1, 50))
def test_body_in_any_pieces_comes_out_whole(encoding: str, encode: object, content: bytes, size: int) -> None:
    coded = encode(content)  # type: ignore[operator]  # a row holds a function
    body = Body(encoding, 300)
    for begin in range(0, len(coded), size):
        assert not body.add(coded[begin : begin + size])
    assert (body.content, body.is_truncated) == (content, False)


@pytest.mark.parametrize(("encoding", "encode"), CODED)
def test_bomb_is_cut_at_the_limit_without_being_unpacked(encoding: str, encode: object) -> None:
    bomb = encode(bytes(50_000_000))  # type: ignore[operator]  # a row holds a function
    body = Body(encoding, 1000)
    tracemalloc.start()
    try:
        assert body.add(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert (len(body.content), body.is_truncated) == (1000, True)


def test_body_of_just_the_limit_is_whole() -> None:
    body = Body("", 4)
    assert not body.add(b"1234")
    assert not body.is_truncated
    assert body.add(b"5")
    assert body.content == b"1234"


def test_what_is_not_coded_as_announced_raises() -> None:
    body = Body("gzip", 100)
    with pytest.raises(zlib.error):
        body.add(gzip.compress(b"hello")[:-8] + bytes(8))  # a wrong checksum
