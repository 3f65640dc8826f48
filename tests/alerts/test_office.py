import asyncio
import ssl
from pathlib import Path

import pytest

from monitor.alerts.office import Office
from monitor.config.load import load
from monitor.network.clock import SystemClock
from monitor.store.reader import Reader
from monitor.store.store import Store

CHANNEL = """\
alerts:
  channels: {{desk: {{kind: webhook, url: "https://example.org/"{more}}}}}
  routes: {{all: {{channels: desk, form: {form}}}}}
vantages: {{here: {{kind: direct}}}}
platforms: {{x: {{targets: {{x-home: "https://x.com/"}}}}}}
"""


def test_a_channel_that_cannot_be_built_leaves_everything_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    path = tmp_path / "probes.yaml"
    store = Store.open(tmp_path / "monitor.db", SystemClock(), spool_rows=10)

    async def change() -> list[str]:
        with Reader(tmp_path / "monitor.db") as reader:
            office = Office(store, reader, SystemClock(), lambda *_: None)
            path.write_text(CHANNEL.format(more="", form="short"))
            await office.use(load(path, {}))
            path.write_text(CHANNEL.format(more=", ca_file: ca.pem", form="long"))
            with pytest.raises(ssl.SSLError, match="certificate"):
                await office.use(load(path, {}))
            forms = [one.form for one in office.policy.routes]
            await office.close()
            return forms

    try:
        assert asyncio.run(change()) == ["short"]
    finally:
        store.close()
