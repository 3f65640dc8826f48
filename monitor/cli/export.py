"""`monitor export`: what is stored, for other programs."""

import csv
import io
import ipaddress
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import click
import msgspec

from monitor.classify.rules import OUR_FAULT
from monitor.cli._options import config_option
from monitor.cli._reading import refuse_unknown, stored
from monitor.cli._times import INSTANT
from monitor.config.schema import Configuration
from monitor.interchange.ooni_export import exported
from monitor.interchange.table import COLUMNS, cell, rows
from monitor.model.address import is_address
from monitor.store.reader import Reader, StoredMeasurement

Measurements = Iterator[StoredMeasurement]


class Address(click.ParamType[str]):
    """A literal address."""

    name = "ADDRESS"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address as it is commonly written."""
        if not is_address(str(value)):
            self.fail(f"{value!r} is no IPv4 or IPv6 address", param, ctx)
        return str(ipaddress.ip_address(str(value)))


@click.command()
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv", "parquet", "ooni"]),
    default="jsonl",
    show_default=True,
    help="The form.",
)
@click.option("--since", type=INSTANT, help="From then on.")
@click.option("--until", type=INSTANT, help="Before then.")
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target; may be repeated.")
@click.option("--vantage", "vantages", multiple=True, metavar="ID", help="Only this vantage; may be repeated.")
@click.option("--scrub", "scrubbed", multiple=True, type=Address(), help="ooni: blot out this address too.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file; by default, print.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    config_path: Path,
    form: str,
    since: datetime | None,
    until: datetime | None,
    targets: Sequence[str],
    vantages: Sequence[str],
    scrubbed: Sequence[str],
    output: Path | None,
) -> None:
    """Write what is stored, oldest first.

    jsonl: one measurement a line with observations, context, digest and every verdict. csv, parquet: one row each, with
    its latest verdict. ooni: judged measurements as OONI Web Connectivity, scrubbed; imported ones are left out.
    """
    parquet = _parquet_writer() if form == "parquet" else None
    if form == "parquet" and parquet is None:
        click.echo('parquet needs the extra: pip install "access-monitor[parquet]"', err=True)
        ctx.exit(2)
    with stored(config_path) as (config, reader):
        # Before the file is opened: a slip of the pen must not empty one that is there.
        refuse_unknown(config, reader, "target", targets)
        refuse_unknown(config, reader, "vantage", vantages)
        with _sink(output) as sink:
            if form == "jsonl":
                for row in reader.export(since=since, until=until, targets=targets, vantages=vantages):
                    sink.write(msgspec.json.encode(row) + b"\n")
                return
            found = reader.measurements(since=since, until=until, targets=targets, vantages=vantages)
            if form == "ooni":
                own = frozenset(scrubbed) | _configured_addresses(config)
                left_out = _ooni(sink, reader, found, own, {name: one.country for name, one in config.vantages.items()})
                if left_out:
                    why = "imported, not judged, or with the vantage itself at fault"
                    click.echo(f"{left_out} measurements were left out: {why}.", err=True)
            elif form == "csv":
                _csv(sink, found)
            elif parquet is not None:
                parquet(sink, found)


@contextmanager
def _sink(path: Path | None) -> Iterator[IO[bytes]]:
    """Yield the file named, or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    try:
        file = path.open("wb")
    except OSError as error:
        raise click.BadParameter(f"{str(path)!r}: {error.strerror}", param_hint="--output") from error
    with file:
        yield file


def _configured_addresses(config: Configuration) -> frozenset[str]:
    """Return the literal addresses by which vantages are reached or bound: they tell where somebody is."""
    found = set()
    for written in config.vantages.values():
        for value in written.model_dump(exclude={"resolvers"}).values():
            host = value if isinstance(value, str) else ""
            if "://" in host:
                host = urlsplit(host).hostname or ""
            if is_address(host) and not ipaddress.ip_address(host).is_loopback:
                found.add(str(ipaddress.ip_address(host)))
    return frozenset(found)


def _ooni(
    sink: IO[bytes], reader: Reader, found: Measurements, own: frozenset[str], countries: Mapping[str, str | None]
) -> int:
    left_out = 0
    for one in found:
        if one.imported is not None or not one.verdicts or one.verdicts[0].verdict.rule in OUR_FAULT:
            left_out += 1
            continue
        control_ids = one.verdicts[0].control_ids
        control = reader.measurement(control_ids[0]) if control_ids else None
        evidence = {
            piece.sha256: content
            for piece in one.evidence
            if piece.is_held and (content := reader.evidence(piece.sha256)) is not None
        }
        country = countries.get(one.measurement.vantage)
        seen = None if control is None else control.measurement
        sink.write(exported(one, seen, evidence, own, country) + b"\n")
    return left_out


def _csv(sink: IO[bytes], found: Measurements) -> None:
    text = io.TextIOWrapper(sink, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows(found):
        row["started_at"] = row["started_at"].isoformat()
        writer.writerow({name: cell(value) for name, value in row.items()})
    text.detach()


def _parquet_writer() -> Callable[[IO[bytes], Measurements], None] | None:
    try:
        from monitor.interchange.parquet import write  # noqa: PLC0415 - an extra that need not be there
    except ImportError:
        return None
    return write
