"""Shows the risks once, asks where there is somebody to ask, and has the answer recorded."""

import sys
from datetime import datetime
from pathlib import Path

import click

from monitor.config.risks import RISK_TEXT, accept, accepted


def seek_consent(
    data_folder: Path, now: datetime, *, accept_risks: bool, text: str = RISK_TEXT, must_answer: bool = False
) -> bool:
    """Return whether to go on; a text already accepted is not shown again. The text goes to stderr.

    With `must_answer`, silence is a no: where nobody can be asked only `accept_risks` accepts.
    """
    if accepted(data_folder):
        return True
    click.echo(text, err=True)
    if accept_risks:
        how = "option"
    elif not sys.stdin.isatty():
        if must_answer:
            click.echo("Nobody is here to be asked: add --accept-risks if you accept this.", err=True)
            return False
        how = "no-terminal"
    elif click.confirm("Do you understand this and want to go on? سمجھ گئے، جاری رکھیں؟", err=True):
        how = "terminal"
    else:
        return False
    try:
        accept(data_folder, now, how)
    except OSError as error:
        click.echo(f"The acceptance could not be recorded: {error}", err=True)
    return True
