"""What a scenario adds to the clean network, gathered from its primitives before anything is touched."""

from dataclasses import dataclass, field

from tests.lab.internet.box import Habit
from tests.lab.internet.injector import Injection
from tests.lab.internet.world import World


@dataclass
class Changes:
    """Rules are lines of iptables-restore(8); `world` is changed at once, the rest when all is gathered."""

    world: World
    forward: list[str] = field(default_factory=list)  # filter FORWARD of the router
    forward_v6: list[str] = field(default_factory=list)
    divert: list[str] = field(default_factory=list)  # mangle PREROUTING of the router
    servers: list[str] = field(default_factory=list)  # filter INPUT of the world
    habits: list[Habit] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    clock_offset: str | None = None  # of the program at the client, as faketime(1) writes it
