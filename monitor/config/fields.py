"""Kinds of values in probes.yaml. Every message completes "KEY: …" and says what to write instead."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, StringConstraints, ValidationInfo

from monitor.model.pattern import is_found

_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LONGEST_URL: Final = 2048
_LONGEST_PATTERN: Final = 200
_WHOAMI: Final = re.compile(r"(\S+) (?:A|TXT) @ ([0-9.]+)(?::[0-9]{1,5})?", re.ASCII)


class Referenced(str):
    """Text that the file only refers to: it came from the environment or from a file of its own."""

    __slots__ = ()


class Secret(SecretStr):
    """A secret: `get_secret_value()` tells it, everything else prints `<secret>`."""

    def _display(self) -> str:
        return "<secret>"


def is_address(host: str) -> bool:
    """Tell whether `host` is a literal IPv4 or IPv6 address, without brackets."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_name(written: str) -> str:
    """Return a DNS host name as lower-case A-labels (RFC 1123, RFC 3490), a trailing dot kept; raises ValueError."""
    try:
        name = written.encode("idna").decode().lower()
    except UnicodeError:
        name = ""
    labels = name.removesuffix(".").split(".")
    # A last label of digits alone is a shortened or octal address, which resolvers and kernels read each in their way.
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdigit():
        raise ValueError("must be a host name such as www.example.com")
    return name


def _plain_name(written: object) -> object:
    if isinstance(written, str) and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", written):
        raise ValueError("must be 1 to 64 small letters, digits or hyphens, beginning with a letter or digit")
    return written


def _host(written: str) -> None:
    if not is_address(written):
        host_name(written)


def _split(written: str) -> tuple[SplitResult, int | None]:
    """Split a URL; raises ValueError for a bad port or bracket."""
    parts = urlsplit(written)
    return parts, parts.port


def _url(written: str) -> str:
    reason = "must be a web address such as https://www.example.com/"
    if len(written) > _LONGEST_URL or not written.isprintable() or any(map(str.isspace, written)):
        raise ValueError(f"{reason} of at most {_LONGEST_URL} visible characters")
    try:
        parts, _ = _split(written)
        _host(parts.hostname or "")
    except ValueError as error:
        raise ValueError(reason) from error
    if parts.scheme not in {"http", "https"}:
        raise ValueError(reason)
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return written


def _origin(written: str) -> str:
    try:
        parts, _ = _split(_url(written))
    except ValueError as error:
        raise ValueError("must be an origin such as https://grafana.example.org") from error
    if parts.path or parts.query or parts.fragment or written != written.lower():
        raise ValueError("must be an origin such as https://grafana.example.org, in small letters, nothing after it")
    return written


def _service_url(written: str) -> str:
    try:
        parts, _ = _split(_url(written))
    except ValueError as error:
        raise ValueError("must be the address of an API such as https://api.example.org") from error
    host = parts.hostname or ""
    if parts.scheme == "http" and not (is_address(host) and ipaddress.ip_address(host).is_loopback):
        raise ValueError("must begin with https; plain http is for this machine only")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ValueError("must be the address of an API such as https://api.example.org, nothing after it")
    return written.rstrip("/")


def _resolver(written: str) -> str:
    reason = "must be system, udp://ADDRESS, tcp://ADDRESS, tls://HOST[@ADDRESS] or https://HOST/PATH[@ADDRESS]"
    if written == "system":
        return written
    url, at, pinned = written.partition("@")
    try:
        parts, _ = _split(url)
    except ValueError as error:
        raise ValueError(reason) from error
    host = parts.hostname or ""
    match parts.scheme:
        case "udp" | "tcp":
            fits = is_address(host) and not at and parts.path in {"", "/"}
        case "tls":
            fits = parts.path in {"", "/"}
        case scheme:
            fits = scheme == "https" and parts.path.startswith("/")
    if at and not is_address(pinned):
        fits = False
    if not fits or not written.isprintable():
        raise ValueError(reason)
    try:
        _host(host)
    except ValueError as error:
        raise ValueError(reason) from error
    return written


def _tunnel_resolver(written: str) -> str:
    reason = "must be tcp://ADDRESS, tls://HOST@ADDRESS or https://HOST/PATH@ADDRESS: UDP does not pass"
    scheme = written.partition(":")[0]
    is_pinned = "@" in written or is_address(urlsplit(written).hostname or "")
    if scheme not in {"tcp", "tls", "https"} or not is_pinned:
        raise ValueError(reason)
    return written


def _endpoint(lowest_port: int) -> Callable[[str], str]:
    def endpoint(written: str) -> str:
        reason = "must be HOST:PORT such as 127.0.0.1:9817 or [::1]:9817"
        try:
            parts, port = _split(f"//{written}")
            _host(parts.hostname or "")
        except ValueError as error:
            raise ValueError(reason) from error
        if port is None or port < lowest_port or parts.netloc != written or "@" in written:
            raise ValueError(reason)
        return written

    return endpoint


def _whoami(written: str) -> str:
    reason = "must be NAME TYPE @ ADDRESS such as myip.opendns.com A @ 208.67.222.222"
    match = _WHOAMI.fullmatch(written)
    if match is None:
        raise ValueError(reason)
    try:
        host_name(match[1])
        ipaddress.IPv4Address(match[2])
    except ValueError as error:
        raise ValueError(reason) from error
    return written


def _cidr(written: str) -> str:
    try:
        return str(ipaddress.ip_network(written))
    except ValueError as error:
        raise ValueError("must be a network such as 192.0.2.0/24, without host bits") from error


def _ip(written: str) -> str:
    if not is_address(written):
        raise ValueError("must be an IPv4 or IPv6 address")
    return written


def _country(written: str) -> str:
    if not re.fullmatch("[A-Z]{2}", written):
        raise ValueError("must be two capital letters (ISO 3166-1 alpha-2) such as PK")
    return written


def _pattern(written: str) -> str:
    if not 0 < len(written) <= _LONGEST_PATTERN:
        raise ValueError(f"must be a regular expression of 1 to {_LONGEST_PATTERN} characters")
    try:
        is_found(written, b"")
    except ValueError as error:
        raise ValueError(f"must be a regular expression as RE2 knows them: {error}") from error
    return written


def _fingerprint(written: str) -> str:
    digits = written.replace(":", "").lower()
    if not re.fullmatch("[0-9a-f]{64}", digits):
        raise ValueError("must be the SHA-256 of a certificate: 64 hexadecimal digits, colons allowed")
    return digits


def _whole(written: object) -> object:
    if isinstance(written, bool):  # pydantic would read true as 1
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic reports ValueError alone
    return written


def _secret(written: object) -> object:
    if not isinstance(written, Referenced):
        reason = "must not be written into the file: use ${VARIABLE} or a …_file key"
        raise ValueError(reason)  # noqa: TRY004 - as above
    return written


def _one_or_many(written: Any) -> Any:
    return [written] if isinstance(written, str | int) else written or ()


def _located(path: Path, info: ValidationInfo) -> Path:
    return info.context["folder"] / path if info.context else path


def _existing(path: Path, info: ValidationInfo) -> Path:
    located = _located(path, info)
    is_needed = not (info.context and info.context.get("only_to_read"))
    if is_needed and not located.is_file():
        raise ValueError("must be a file that exists")
    return located


PlainName = Annotated[str, BeforeValidator(_plain_name)]
Name = Annotated[str, AfterValidator(host_name)]
Url = Annotated[str, AfterValidator(_url)]
Origin = Annotated[str, AfterValidator(_origin)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
Resolver = Annotated[str, AfterValidator(_resolver)]
TunnelResolver = Annotated[str, AfterValidator(_resolver), AfterValidator(_tunnel_resolver)]
Address = Annotated[str, AfterValidator(_endpoint(lowest_port=1))]
ListenAddress = Annotated[str, AfterValidator(_endpoint(lowest_port=0))]  # port 0: the system chooses
WhoAmI = Annotated[str, AfterValidator(_whoami)]
Cidr = Annotated[str, AfterValidator(_cidr)]
IpAddress = Annotated[str, AfterValidator(_ip)]
CountryCode = Annotated[str, AfterValidator(_country)]
Pattern = Annotated[str, AfterValidator(_pattern)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
Interface = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._@-]{1,15}$")]
NamespaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$")]
LoginName = Annotated[str, StringConstraints(pattern=r"^[!-9;-~]{1,255}$")]  # RFC 7617: no colon
HeaderText = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,254}[\x21-\x7e])?$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6}){0,3}$")]
Whole = Annotated[int, BeforeValidator(_whole)]
SecretText = Annotated[Secret, BeforeValidator(_secret)]
OneOrMany = BeforeValidator(_one_or_many)  # for tuples: a single value may stand without brackets
LocalPath = Annotated[Path, AfterValidator(_located)]  # relative to the folder of probes.yaml
LocalFile = Annotated[Path, AfterValidator(_existing)]
