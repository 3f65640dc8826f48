"""`HOST:PORT` as probes.yaml writes it."""


def endpoint(text: str) -> tuple[str, int]:
    """Read `HOST:PORT` or `[ADDRESS]:PORT`."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
