import gzip
import ssl
from collections.abc import Iterator

import httpx
import pytest

from monitor.lab import Lab, places
from monitor.lab.pages import always, by_place, challenge, legal_refusal, plain
from tests.lab.client import connection, ends_with, get, tls

NAME = "paged.lab.test"


@pytest.fixture(autouse=True)
def site(lab: Lab) -> str:
    return lab.site(NAME).addresses[0]


@pytest.fixture(params=[False, True], ids=["http1", "http2"])
def client(lab: Lab, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    context = ssl.create_default_context(cafile=str(lab.ca_file))
    with httpx.Client(
        timeout=60,
        verify=context,
        http1=not request.param,
        http2=request.param,
        trust_env=False,
        base_url=f"https://{lab.address(NAME)}:{lab.ports.https}",
        headers={"Host": NAME},
    ) as client:
        yield client


def stream(client: httpx.Client, path: str) -> httpx.Request:
    return client.build_request("GET", path, extensions={"sni_hostname": NAME})


def test_the_front_page_is_served_whole(client: httpx.Client) -> None:
    response = client.send(stream(client, "/"))
    assert (response.status_code, len(response.content)) == (200, int(response.headers["content-length"]))
    assert b"Welcome to the laboratory platform" in response.content


def test_a_large_file_is_served_whole(client: httpx.Client) -> None:
    assert len(client.send(stream(client, "/large")).content) == 32 << 20


@pytest.mark.parametrize("status", [200, 204, 401, 403, 404, 429, 451, 500, 503])
def test_a_status_is_served_as_asked(client: httpx.Client, status: int) -> None:
    path = f"/status/{status}"
    assert client.send(stream(client, path)).status_code == status


def test_redirects_count_down_to_the_front_page(client: httpx.Client) -> None:
    paths = ["/redirect/2"]
    while location := client.send(stream(client, paths[-1])).headers.get("location"):
        paths.append(location)
    assert paths == ["/redirect/2", "/redirect/1", "/"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/loop", "/loop"),
        ("/location-without-host", "http://"),
        ("/location-of-another-scheme", "ftp://files.lab.test/"),
    ],
)
def test_bad_redirects_are_served_as_they_are(client: httpx.Client, path: str, location: str) -> None:
    assert client.send(stream(client, path)).headers["location"] == location


def test_a_gzip_bomb_is_small_until_it_is_unpacked(client: httpx.Client) -> None:
    response = client.send(stream(client, "/gzip-bomb"), stream=True)
    packed = b"".join(response.iter_raw())
    response.close()
    assert len(packed) < 80_000
    assert len(gzip.decompress(packed)) == 64 << 20


def test_endless_chunks_go_on_past_any_cap(client: httpx.Client) -> None:
    response = client.send(stream(client, "/endless"), stream=True)
    size = 0
    for piece in response.iter_raw():
        size += len(piece)
        if size > 8 << 20:
            break
    response.close()
    assert size > 8 << 20


def test_a_drip_gives_one_byte_at_a_time(client: httpx.Client) -> None:
    response = client.send(stream(client, "/drip"), stream=True)
    assert next(response.iter_raw()) == b"."
    response.close()


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("/reset", ConnectionResetError),
        ("/fin", b""),
        ("/reset-in-body", ConnectionResetError),
    ],
)
def test_a_server_that_breaks_off_does_so_on_the_wire(
    lab: Lab, site: str, path: str, ending: type[OSError] | bytes
) -> None:
    with connection(site, lab.ports.http) as connected:
        connected.sendall(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert ends_with(connected) == ending


@pytest.mark.parametrize(("path", "body_bytes", "announced"), [("/short-body", 10, 20), ("/long-body", 23, 4)])
def test_a_length_can_be_a_lie(lab: Lab, path: str, body_bytes: int, announced: int) -> None:
    _, head, body = get(lab, NAME, path)
    assert f"Content-Length: {announced}" in head
    assert len(body) == body_bytes


@pytest.mark.parametrize("path", ["/silence", "/silence-in-body"])
def test_a_server_can_fall_silent(lab: Lab, site: str, path: str) -> None:
    with connection(site, lab.ports.http, timeout_seconds=0.3) as connected:
        connected.sendall(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        assert ends_with(connected) is TimeoutError


def test_headers_can_outgrow_any_bound(lab: Lab) -> None:
    _, head, _ = get(lab, NAME, "/many-headers")
    assert len(head) > 150_000


def test_tls_ends_without_close_notify_where_the_server_breaks_off(lab: Lab) -> None:
    with tls(lab, NAME) as connected:
        connected.sendall(f"GET /short-body HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        ending = ends_with(connected)
        assert isinstance(ending, type)
        assert issubclass(ending, ssl.SSLError)


def test_another_host_at_a_site_is_refused_with_400(lab: Lab, site: str) -> None:
    with connection(site, lab.ports.http) as connected:
        connected.sendall(b"GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n")
        ended = ends_with(connected)
    assert isinstance(ended, bytes)
    assert ended.startswith(b"HTTP/1.1 400 ")


def test_a_server_can_treat_the_test_vantage_differently(lab: Lab) -> None:
    lab.site(NAME, by_place(legal_refusal()))
    assert get(lab, NAME)[0] == 451
    assert get(lab, NAME, source=places.CONTROL_SOURCE)[0] == 200


def test_a_challenge_carries_its_marks(lab: Lab) -> None:
    lab.site(NAME, always(challenge(403)))
    status, head, body = get(lab, NAME)
    assert status == 403
    assert "Cf-Mitigated: challenge" in head
    assert b"<title>Just a moment...</title>" in body


def test_a_fault_of_the_laboratory_fails_its_user() -> None:
    def broken(_: object) -> None:
        raise KeyError("a slip of the author")

    with pytest.RaisesGroup(pytest.RaisesExc(KeyError)), Lab() as lab:
        lab.site(NAME, broken)  # type: ignore[arg-type]  # the wrong type is the point
        with connection(lab.address(NAME), lab.ports.http) as connected:
            connected.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
            ends_with(connected)


def test_plain_pages_say_what_they_are_given(lab: Lab) -> None:
    lab.site(NAME, always(plain("said plainly")))
    assert get(lab, NAME)[2] == b"said plainly"
