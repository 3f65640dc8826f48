"""The parts that hear agents, put together; only where the configuration asks for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from monitor.config.schema import IngestConfig
from monitor.daemon.fleet import Fleet
from monitor.daemon.ingest import Ingest
from monitor.daemon.ingest_keys import folder_of, listener_files, signing_key
from monitor.daemon.listen import Server, listening_socket, server_config
from monitor.model.seams import Clock
from monitor.network.message_signatures import fingerprint
from monitor.store.reader import Reader

if TYPE_CHECKING:
    import socket

    from monitor.daemon.application import Daemon


@dataclass
class Hearing:
    """A listener of its own, beside the page: it may stand open to the world while the page does not."""

    fleet: Fleet
    reader: Reader
    server: Server
    listener: "socket.socket"
    place: str

    @classmethod
    def of(cls, daemon: "Daemon", clock: Clock) -> "Hearing | None":
        """Return what hears the agents of a daemon, None if nobody does; raises OSError, StoreError or ValueError."""
        config = daemon.station.config
        if config.ingest is None:
            return None
        # A reader of its own: a long question of somebody who looks at the page delays no agent.
        reader = Reader(Path(config.storage.path))
        fleet = Fleet(
            station=lambda: daemon.station,
            store=daemon.store,
            reader=reader,
            clock=clock,
            ids=daemon.ids,
            exporter=daemon.exporter,
            memory=daemon.memory,
            record=daemon.record,
            forget=daemon.forget_agent,
        )

        def settings() -> IngestConfig:
            return daemon.station.config.ingest or ingest

        ingest = config.ingest
        key = signing_key(folder_of(config, ingest))
        app = Ingest(
            fleet,
            key,
            settings=settings,
            vantages=lambda: daemon.station.pushing,
            store=daemon.store,
            reader=reader,
            clock=clock,
            exporter=daemon.exporter,
        ).app()
        serving = server_config(app, graceful_seconds=2)
        files = listener_files(config, ingest, clock.now())
        if files is not None:
            serving.ssl_certfile, serving.ssl_keyfile = str(files.certificate), str(files.key)
        listener = listening_socket(ingest.listen)
        host, port = listener.getsockname()[:2]
        scheme = "http" if files is None else "https"
        place = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port} · key {fingerprint(key.public_key())}"
        return cls(fleet, reader, Server(serving), listener, place)

    async def serve(self) -> None:
        """Serve until `stop`."""
        await self.server.serve(sockets=[self.listener])

    def stop(self) -> None:
        """Take no more requests; those under way get two seconds."""
        self.server.should_exit = True

    def close(self) -> None:
        """Let go of the reader, once nobody asks it any more."""
        self.reader.close()
