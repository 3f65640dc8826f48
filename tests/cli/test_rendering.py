"""What a person sees of the steps that a deep run adds."""

import io

import pytest
from rich.console import Console

from monitor.cli._rendering import PURPOSES, print_outcome
from monitor.model.observation import Observation, Purpose, QuicObservation, ThroughputObservation
from tests.fakes.outcomes import BLOCKED, outcome, recording

HTTP3 = QuicObservation(
    address="162.159.140.229", port=443, server_name="x.com", version="00000001", alpn="h3", chain=("ab",),
    purpose=Purpose.HTTP3,
)  # fmt: skip
PING = QuicObservation(
    address="162.159.140.229", port=443, server_name=None, server_versions=("00000001",), purpose=Purpose.QUIC_PING
)
DEAD = QuicObservation(
    address="162.159.140.229", port=443, server_name="x.com", failure="generic_timeout_error", purpose=Purpose.HTTP3
)
SLOW = ThroughputObservation(
    url="https://x.com/", address="162.159.140.229", port=443, is_tls=True, status_code=200, transfer_seconds=5.0,
    bytes_received=80_000, is_cut=True, variation=0.04, purpose=Purpose.TRANSFER,
)  # fmt: skip


def shown(*observations: Observation) -> str:
    text = io.StringIO()
    print_outcome(Console(file=text, width=200), outcome(BLOCKED, recording(*observations)), "lahore", "PK")
    return text.getvalue()


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (HTTP3, "162.159.140.229 port 443 as x.com  version 00000001, h3, certificate verified"),
        (PING, "162.159.140.229 port 443 for its versions  UDP passes both ways"),
        (DEAD, "fails  quic  162.159.140.229 port 443 as x.com  generic_timeout_error"),
        (SLOW, "80000 B in 5.0 s, 16.0 kB/s, rate varies by 4%, then cut"),
    ],
)
def test_each_new_step_says_what_was_asked_and_what_came(observation: Observation, words: str) -> None:
    assert words in shown(observation)


def test_every_purpose_has_words() -> None:
    assert set(PURPOSES) == set(Purpose)
