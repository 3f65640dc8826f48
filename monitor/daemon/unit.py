"""The systemd service, as text: the unit, its system user, and where everything lies.

A fixed system user owns the data, and not systemd's DynamicUser: the database is a record kept for years, copied,
restored and read by other programs (Grafana, Datasette), which a number that comes and goes does not allow
(docs/decisions/0009-service-user.md).
"""

from pathlib import Path
from typing import Final

NAME: Final = "access-monitor"
UNIT: Final = f"{NAME}.service"
UNIT_PATH: Final = Path("/etc/systemd/system") / UNIT
USER_PATH: Final = Path(f"/etc/sysusers.d/{NAME}.conf")
CONFIGURATION_PATH: Final = Path(f"/etc/{NAME}/probes.yaml")
DATA_FOLDER: Final = Path(f"/var/lib/{NAME}")
DATABASE_PATH: Final = DATA_FOLDER / "monitor.db"

# ProtectHome and PrivateTmp hide these from the service.
_HIDDEN: Final = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108 - nothing is written there

USER: Final = f'u {NAME} - "Access monitor" {DATA_FOLDER}\n'

# The agent that pushes, a service of its own under a user of its own.
AGENT_NAME: Final = f"{NAME}-agent"
AGENT_UNIT: Final = f"{AGENT_NAME}.service"
AGENT_UNIT_PATH: Final = Path("/etc/systemd/system") / AGENT_UNIT
AGENT_USER_PATH: Final = Path(f"/etc/sysusers.d/{AGENT_NAME}.conf")
AGENT_DATA_FOLDER: Final = Path(f"/var/lib/{AGENT_NAME}")
AGENT_USER: Final = f'u {AGENT_NAME} - "Access monitor agent" {AGENT_DATA_FOLDER}\n'


def is_hidden(path: Path) -> bool:
    """Tell whether the service could not see `path`."""
    return any(path.is_relative_to(folder) for folder in _HIDDEN)


def unit(program: Path) -> str:
    """Return the unit that runs `program`, the `monitor` command, as the daemon."""
    return _UNIT.format(
        description="Access monitor: which platforms are reachable from here, and how the others are blocked",
        command=f"{_quoted(program)} run -c {CONFIGURATION_PATH}",
        reload='ExecReload=/bin/sh -c "kill -HUP ${MAINPID}"\n',
        name=NAME,
        umask="0027",
        mode="0750",
    )


def agent_unit(program: Path) -> str:
    """Return the unit that runs `program`, the `monitor` command, as an agent that pushes; nobody else may read."""
    return _UNIT.format(
        description="Access monitor agent: measures for a centre elsewhere",
        command=f"{_quoted(program)} agent run --data {AGENT_DATA_FOLDER}",
        reload="",
        name=AGENT_NAME,
        umask="0077",
        mode="0700",
    )


def _quoted(program: Path) -> str:
    # systemd reads backslash, percent and dollar signs inside quotes too (systemd.service(5), "Command lines").
    quoted = str(program).replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{quoted}"'


_UNIT: Final = """\
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target time-sync.target

[Service]
Type=notify
ExecStart={command}
{reload}Restart=always
RestartSec=5
# A large database takes its time to migrate; runs in flight end or are dropped well within the stop.
TimeoutStartSec=10min
TimeoutStopSec=60
WatchdogSec=60
User={name}
Group={name}
UMask={umask}
StateDirectory={name}
StateDirectoryMode={mode}
WorkingDirectory=/var/lib/{name}
# A socket for each step of each run in flight.
LimitNOFILE=65536

# It opens connections, writes its own folder, and may do nothing else.
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
# Nothing here calls back from C through cffi, the one thing of ours that would need writable code.
MemoryDenyWriteExecute=yes
RemoveIPC=yes
# Unix sockets carry notifications, netlink tells libc and uvloop which addresses there are.
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
# Reading how far off the clock is; without capabilities the same calls cannot set it. ProtectClock forbids both.
SystemCallFilter=adjtimex clock_adjtime

[Install]
WantedBy=multi-user.target
"""
