"""Real proxies and SSH servers on loopback, from Debian's packages, and a few that misbehave."""

import contextlib
import getpass
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_port

PATIENCE_SECONDS = 60.0
USER = "reader"


@contextlib.contextmanager
def program(*arguments: str, port: int, log: Path) -> Iterator[str]:
    """Run a server in the foreground until the block ends; yields HOST:PORT once it listens."""
    with log.open("ab") as output, subprocess.Popen(arguments, stdout=output, stderr=output) as process:
        try:
            end = time.monotonic() + PATIENCE_SECONDS
            while not _listens(port):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


# Run a command with files of its own in /etc, in a mount namespace, so that the host's are not touched.
_WITH_FILES = 'for one in "$0"/*; do mount --bind "$one" "/etc/${one##*/}"; done; exec "$@"'


def with_files(folder: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Return what stands before a command that is to find these `files` in its /etc."""
    if not files:
        return ()
    etc = folder / "etc"
    etc.mkdir(exist_ok=True)
    for name, content in files.items():
        (etc / name).write_text(content)
    return ("unshare", "--user", "--map-root-user", "--mount", "sh", "-e", "-c", _WITH_FILES, str(etc))


def knowing(names: Mapping[str, str]) -> dict[str, str]:
    """Return the files of /etc in which these names have these addresses and nobody else is asked; {} without names."""
    if not names:
        return {}
    hosts = "".join(f"{address} {name}\n" for name, address in names.items())
    return {"hosts": hosts, "nsswitch.conf": "hosts: files\npasswd: files\nshadow: files\n"}


@contextlib.contextmanager
def microsocks(
    folder: Path, *, password: str | None = None, source: str | None = None, names: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A SOCKS5 proxy; with `names` it looks these up, and no others."""
    port = free_port()
    login = ("-u", USER, "-P", password) if password else ()
    bound = ("-b", source) if source else ()
    before = with_files(folder, knowing(names or {}))
    arguments = (*before, "microsocks", "-i", "127.0.0.1", "-p", str(port), *login, *bound)
    with program(*arguments, port=port, log=folder / "microsocks.log") as server:
        yield server


_DANTE = """\
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: lo
clientmethod: none
socksmethod: {method}
user.privileged: root
user.unprivileged: root
client pass {{
  from: 0.0.0.0/0 to: 0.0.0.0/0
}}
socks {allowed} {{
  from: 0.0.0.0/0 to: 0.0.0.0/0
  command: connect
  protocol: tcp
}}
"""


@contextlib.contextmanager
def dante(
    folder: Path, *, password: str | None = None, allows: bool = True, names: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Another SOCKS5 proxy; logins are those of /etc/shadow, and it may forbid every connection."""
    port = free_port()
    config = folder / "danted.conf"
    method, allowed = "username" if password else "none", "pass" if allows else "block"
    config.write_text(_DANTE.format(port=port, method=method, allowed=allowed))
    accounts = _accounts(password) if password else {}
    before = with_files(folder, {**accounts, **knowing(names or {})})
    with program(*before, "/usr/sbin/danted", "-f", str(config), port=port, log=folder / "danted.log") as server:
        yield server


def _accounts(password: str) -> dict[str, str]:
    hashed = subprocess.run(
        ("openssl", "passwd", "-6", "-stdin"), input=password, capture_output=True, text=True, check=True
    ).stdout.strip()
    return {
        "passwd": f"root:x:0:0::/:/bin/sh\n{USER}:x:0:0::/:/bin/sh\n",
        "shadow": f"{USER}:{hashed}:20000:0:99999:7:::\n",
    }


@contextlib.contextmanager
def tinyproxy(
    folder: Path,
    *,
    password: str | None = None,
    connect_port: int | None = None,
    names: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """An HTTP proxy; it lets CONNECT reach every port, or only `connect_port`."""
    port = free_port()
    lines = [f"Port {port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "Timeout 60", "MaxClients 200"]
    lines += [f"BasicAuth {USER} {password}"] if password else []
    lines += [f"ConnectPort {connect_port}"] if connect_port else []
    config = folder / "tinyproxy.conf"
    config.write_text("\n".join(lines) + "\n")
    before = with_files(folder, knowing(names or {}))
    with program(*before, "tinyproxy", "-d", "-c", str(config), port=port, log=folder / "tinyproxy.log") as server:
        yield server


@dataclass(frozen=True)
class Ssh:
    """A running sshd and what a client needs to use it."""

    server: str
    key_file: Path
    known_hosts_file: Path
    user: str

    def vantage(self, **keys: object) -> dict[str, object]:
        files = {"key_file": str(self.key_file), "known_hosts_file": str(self.known_hosts_file)}
        return {"kind": "ssh", "server": self.server, "user": self.user, **files, **keys}


def ssh_key(path: Path, passphrase: str = "") -> Path:
    made = ("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path))
    subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
    return path


@contextlib.contextmanager
def sshd(folder: Path, *, forwards: bool = True) -> Iterator[Ssh]:
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks itself in; Debian makes it when the service starts
    host_key, key = ssh_key(folder / "host"), ssh_key(folder / "client")
    (folder / "authorized").write_text((folder / "client.pub").read_text())
    kind, public = (folder / "host.pub").read_text().split()[:2]
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {kind} {public}\n")
    lines = [
        f"Port {port}", "ListenAddress 127.0.0.1", f"HostKey {host_key}", f"AuthorizedKeysFile {folder / 'authorized'}",
        "StrictModes no", "UsePAM no", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "PidFile none",
        "MaxSessions 200", "MaxStartups 100", f"AllowTcpForwarding {'yes' if forwards else 'no'}",
    ]  # fmt: skip
    config = folder / "sshd_config"
    config.write_text("\n".join(lines) + "\n")
    log = folder / "sshd.log"
    with program("/usr/sbin/sshd", "-D", "-e", "-f", str(config), port=port, log=log) as server:
        yield Ssh(server=server, key_file=key, known_hosts_file=known_hosts, user=getpass.getuser())


@contextlib.contextmanager
def scripted(*script: tuple[int, bytes], then_close: bool = False) -> Iterator[str]:
    """A server that on each connection reads so many bytes and answers, step by step, and then is silent, or closes."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def converse() -> None:
            with contextlib.suppress(OSError):  # the end of the block closes the socket
                while True:
                    connection, _ = listening.accept()
                    held.append(connection)
                    with contextlib.suppress(OSError):
                        _play(connection, script)
                    if then_close:
                        connection.close()

        thread = threading.Thread(target=converse, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in held:
                one.close()


def _play(connection: socket.socket, script: Sequence[tuple[int, bytes]]) -> None:
    connection.settimeout(PATIENCE_SECONDS)
    for count, answer in script:
        heard = b""
        while len(heard) < count and (more := connection.recv(count - len(heard))):
            heard += more
        connection.sendall(answer)


@contextlib.contextmanager
def behind_tls(server: str, context: ssl.SSLContext) -> Iterator[str]:
    """Take TLS connections and pass what is in them on to `server`."""
    host, _, port = server.rpartition(":")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(raw: socket.socket) -> None:
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(raw, server_side=True) as outside,
                socket.create_connection((host, int(port))) as inside,
            ):
                back = threading.Thread(target=_pump, args=(inside, outside), daemon=True)
                back.start()
                _pump(outside, inside)
                back.join()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65_536):
            sink.sendall(content)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
