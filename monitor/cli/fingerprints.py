"""`monitor fingerprints`: what is known of block pages, and how published lists come in."""

import os
from hashlib import sha256
from pathlib import Path

import click
import msgspec

from monitor.cli._options import config_option
from monitor.cli._sheet import Sheet
from monitor.config.fingerprints import (
    FILE_BYTES_AT_MOST,
    ROWS_AT_MOST,
    Heading,
    bounded_content,
    fingerprints_of,
    is_ours,
    read_fingerprints,
    refuse,
    written,
)
from monitor.config.load import load
from monitor.config.problem import ConfigError, Problem
from monitor.config.published_fingerprints import LAYOUTS, PublishedFile, imported
from monitor.model.fingerprint import FingerprintSet, merged

_PATH = click.Path(path_type=Path, dir_okay=False)


@click.group()
def command() -> None:
    """Look at fingerprints of block pages, check them, and import published lists."""


@command.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(config_path: Path, *, as_json: bool) -> None:
    """Show the fingerprints that the configuration uses, in the order in which they are looked for."""
    fingerprints = fingerprints_of(load(config_path, os.environ).fingerprints)
    if as_json:
        for row in fingerprints.rows:
            click.echo(msgspec.json.encode(row))
        return
    table = Sheet("id", "place", "type", "scope", "countries", "pattern", prose=["pattern"])
    for row in fingerprints.rows:
        cells = (row.id, row.location, row.type, row.scope or "unknown", " ".join(row.countries) or "any", row.pattern)
        table.add(*map(_shown, cells))
    table.print()
    _tell(fingerprints)


@command.command("check")
@config_option
@click.argument("paths", metavar="[FILE]...", nargs=-1, type=_PATH)
def check_command(config_path: Path, paths: tuple[Path, ...]) -> None:
    """Validate files of fingerprints, by default those that the configuration uses.

    Every bad row is printed as `file:line: key: message`; then the exit status is 2.
    """
    if not paths:
        _tell(fingerprints_of(load(config_path, os.environ).fingerprints))
        return
    parts = []
    problems: list[Problem] = []
    for path in paths:
        try:
            parts.append(read_fingerprints(path))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(tuple(problems))
    _tell(merged(parts))


@command.command("import")
@click.argument("paths", metavar="FILE...", nargs=-1, type=_PATH)
@click.option("--false-positives", "false_positives", metavar="FILE", multiple=True, type=_PATH,
              help="A list of pages that only look like block pages: all of its rows veto.")  # fmt: skip
@click.option("--layout", required=True, type=click.Choice(sorted(LAYOUTS)), help="How the lists are written.")
@click.option("--out", required=True, type=_PATH, help="The file to write; one that was written so before is replaced.")
@click.option("--version", "version", metavar="TEXT", help="What to call this state of the lists; a digest by default.")
@click.option("--skip-bad", is_flag=True, help="Leave out rows that cannot be used, instead of writing nothing.")
@click.pass_context
def import_command(
    ctx: click.Context,
    paths: tuple[Path, ...],
    false_positives: tuple[Path, ...],
    layout: str,
    out: Path,
    *,
    version: str | None,
    skip_bad: bool,
) -> None:
    """Turn published lists, which you fetched, into one file for `fingerprints.files`.

    A row that cannot be used is named with its line, and nothing is written then.
    """
    if not paths and not false_positives:
        raise click.UsageError("name at least one list")
    lists = tuple(
        PublishedFile(str(path), bounded_content(path), is_veto)
        for given, is_veto in ((paths, False), (false_positives, True))
        for path in given
    )
    found = imported(layout, lists)
    if found.problems and skip_bad:
        for problem in found.problems:
            click.echo(f"left out: {problem}", err=True)
    else:
        refuse(found.problems)
    if not found.rows:
        raise ConfigError((Problem(lists[0].name, 1, "", "holds no row that can be used"),))
    heading = Heading(
        format=1,
        version=version or sha256(b"".join(one.content for one in lists)).hexdigest()[:12],
        title=f"{layout}: {', '.join(Path(one.name).name for one in lists)}",
    )
    content = written(heading, found.rows)
    if len(content) > FILE_BYTES_AT_MOST or len(found.rows) > ROWS_AT_MOST:
        raise ConfigError((Problem(lists[0].name, 1, "", f"is too much: more than {ROWS_AT_MOST} rows or 32 MiB"),))
    try:
        if out.exists() and not is_ours(out):
            click.echo(f"{out} exists, holds something else and was left as it is.", err=True)
            ctx.exit(2)
        _replace(out, content)
    except OSError as error:
        click.echo(f"{out} cannot be written: {error.strerror}", err=True)
        ctx.exit(2)
    left_out = len({(problem.file, problem.line) for problem in found.problems})
    vetoes = sum(row.scope == "fp" for row in found.rows)
    click.echo(f"{out}: {len(found.rows)} rows, {vetoes} of them vetoes; {left_out} left out.")
    click.echo(f"To use them, add to probes.yaml:\n\nfingerprints:\n  files: [{out}]")


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def _tell(fingerprints: FingerprintSet) -> None:
    rows = fingerprints.rows
    origins = ", ".join(f"{_shown(one.name)} {_shown(one.version)} ({one.rows})" for one in fingerprints.sources)
    vetoes = sum(row.scope == "fp" for row in rows)
    click.echo(f"{len(rows)} fingerprints, {vetoes} of them vetoes; digest {fingerprints.digest()[:12]}.")
    click.echo(f"From {origins or 'nowhere: none are used'}.")


def _shown(text: str) -> str:
    """Return text of a file for a terminal: one line, bounded, nothing that a terminal would act on."""
    plain = "".join(each if each.isprintable() else repr(each)[1:-1] for each in text[:120])
    return plain if len(text) <= 120 else f"{plain}…"
