"""`monitor import`: history that others measured."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from monitor.cli._options import CountryCode, config_option
from monitor.cli._times import INSTANT
from monitor.config.fingerprints import fingerprints_of
from monitor.config.load import load
from monitor.config.plan import plan
from monitor.config.schema import Configuration
from monitor.daemon.ooni_aggregation import DEFAULT_API, AggregationError, Wanted, fetch, stored_from
from monitor.daemon.ooni_import import BATCH, Importer, ImportStoppedError, Refusals, Summary
from monitor.interchange.ooni_import import Targets
from monitor.network.clock import SystemClock
from monitor.store.connection import StoreError
from monitor.store.reader import Reader
from monitor.store.store import Store

_FILES: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(name="import")
def command() -> None:
    """Take in history that others measured."""


@command.command()
@click.argument("files", nargs=-1, required=True, type=_FILES)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def ooni(ctx: click.Context, files: Sequence[Path], config_path: Path, *, as_json: bool) -> None:
    """Import OONI Web Connectivity measurements from FILES: JSON lines, plain or gzip.

    They are judged by the rules of this program; what OONI concluded is kept beside. What is there already is passed
    over, so the command can be repeated. Lines that cannot be taken in are named, and the others taken.

    Exit status: 0, or 2 if a file could not be read or the database not be written.
    """
    config = load(config_path, os.environ)
    refusals = Refusals()
    trouble = ""
    with _store(ctx, config, refusals) as (store, reader):
        importer = Importer(
            store=store,
            reader=reader,
            targets=Targets(tuple(one.target for one in plan(config).assignments)),
            refusals=refusals,
            allowed_bogons=config.network.allowed_bogons,
            fingerprints=fingerprints_of(config.fingerprints).rows,
        )
        with _progress(DownloadColumn()) as bar:
            for path in files:
                task = bar.add_task(path.name, total=path.stat().st_size)
                importer.progress = partial(bar.advance, task)
                try:
                    importer.take(path)
                except ImportStoppedError as error:
                    trouble = str(error)
                    break
    _tell(importer.summary, as_json=as_json)
    if trouble:
        click.echo(trouble, err=True)
        ctx.exit(2)


@command.command(name="ooni-aggregation")
@click.argument("files", nargs=-1, type=_FILES)
@config_option
@click.option("--country", type=CountryCode(), help="Two letters, such as PK.")
@click.option("--domain", "domains", multiple=True, metavar="NAME", help="Such as x.com; may be repeated.")
@click.option("--since", type=INSTANT, help="The first day.")
@click.option("--until", type=INSTANT, help="The day after the last; today by default.")
@click.option("--test", default="web_connectivity", show_default=True, help="OONI's name of the test.")
@click.option("--api", default=DEFAULT_API, show_default=True, metavar="URL", help="Where to ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.pass_context
def aggregation(
    ctx: click.Context,
    *,
    files: Sequence[Path],
    config_path: Path,
    country: str | None,
    domains: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    test: str,
    api: str,
    as_json: bool,
) -> None:
    """Import OONI's own counts a day and network, from its API or from FILES with answers of it.

    They stay OONI's counts: a series beside ours, which no verdict, onset or alert is drawn from. Asked of the API,
    days that are known already are passed over.

    With FILES give --country and one --domain unless the answers name them.
    """
    config = load(config_path, os.environ)
    if not files and (country is None or not domains or since is None):
        raise click.UsageError("give FILES, or --country, --domain and --since to ask the API")
    if len(domains) > 1 and files:
        raise click.UsageError("with FILES at most one --domain")
    clock = SystemClock()
    written = 0
    trouble = ""
    with _store(ctx, config, Refusals()) as (store, reader), _progress(MofNCompleteColumn()) as bar:
        try:
            if files:
                domain = domains[0] if domains else None
                task = bar.add_task("files", total=len(files))
                for path in files:
                    written += stored_from(path, store, country=country, domain=domain, test=test, at=clock.now())
                    bar.advance(task)
            else:
                for domain in map(str.lower, domains):
                    wanted = Wanted(
                        country=country or "",
                        domain=domain,
                        test=test,
                        since=(since or clock.now()).date(),
                        until=(until or clock.now().astimezone(UTC)).date(),
                    )
                    task = bar.add_task(domain, total=wanted.days)
                    written += fetch(wanted, api, store, reader, clock=clock, progress=partial(bar.advance, task))
        except AggregationError as error:
            trouble = str(error)
    if as_json:
        click.echo(msgspec.json.encode({"rows": written}))
    else:
        click.echo(f"{written} rows of OONI's counts stored.")
    if trouble:
        click.echo(trouble, err=True)
        ctx.exit(2)


@contextmanager
def _store(ctx: click.Context, config: Configuration, refusals: Refusals) -> Iterator[tuple[Store, Reader]]:
    try:
        # Room for a batch and the controls of each.
        store = Store.open(config.storage.path, SystemClock(), spool_rows=4 * BATCH, on_event=refusals.hear)
    except (StoreError, OSError) as error:
        click.echo(str(error), err=True)
        ctx.exit(2)
    try:
        with Reader(config.storage.path) as reader:
            yield store, reader
    finally:
        store.close()


def _progress(column: DownloadColumn | MofNCompleteColumn) -> Progress:
    to = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"), BarColumn(), column, TimeRemainingColumn(), console=to,
        disable=not to.is_terminal,
    )  # fmt: skip


def _tell(summary: Summary, *, as_json: bool) -> None:
    refused = summary.refused.total()
    if as_json:
        click.echo(
            msgspec.json.encode(
                {
                    "accepted": summary.accepted,
                    "duplicate": summary.duplicate,
                    "refused": refused,
                    "why": dict(summary.refused),
                    "statuses": dict(summary.statuses),
                    "problems": [str(one) for one in summary.problems],
                }
            )
        )
        return
    for problem in summary.problems:
        click.echo(str(problem), err=True)
    if refused > len(summary.problems):
        click.echo(f"and {refused - len(summary.problems)} more", err=True)
    judged = ", ".join(f"{count} {status}" for status, count in summary.statuses.most_common())
    click.echo(f"{summary.accepted} accepted{f' ({judged})' if judged else ''}, ", nl=False)
    click.echo(f"{summary.duplicate} duplicate, {refused} refused")
