"""Tables for the terminal: every word whole, however narrow it is.

Texts are wrapped between words only. A table that does not fit even so becomes a block for each row, a label and a
value on each line: identifiers are what people copy into the next command.
"""

from collections.abc import Sequence

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from monitor.cli._rendering import console

_GAP = 2  # blanks between columns
_PROSE_CHARACTERS = 30  # a sentence in a narrower column is no longer read


class Sheet:
    """Rows under labels; the columns of `prose` hold sentences. Texts are never read as markup."""

    def __init__(self, *labels: str, prose: Sequence[str] = ()) -> None:
        self._labels = labels
        self._prose = frozenset(prose)
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *cells: Text | str) -> None:
        """Add a row: as many cells as there are labels."""
        self._rows.append(tuple(cell if isinstance(cell, Text) else Text(cell) for cell in cells))

    def print(self) -> None:
        """Print a table, or blocks where the terminal is too narrow for one; no line ends in blanks."""
        to = console()
        with to.capture() as captured:
            self._print(to)
        click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))

    def _print(self, to: Console) -> None:
        widths = self._widths(to.width)
        if widths is None:
            self._print_blocks(to)
            return
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        for label, width in zip(self._labels, widths, strict=True):
            table.add_column(label, width=width)
        for row in self._rows:
            table.add_row(*row)
        to.print(table)

    def _widths(self, room: int) -> list[int] | None:
        """Return a width for each column; None if there is no room for the longest words."""
        least, most = [], []
        for index, label in enumerate(self._labels):
            texts = [label, *(row[index].plain for row in self._rows)]
            most.append(max(cell_len(line) for text in texts for line in text.split("\n")))
            words = max((cell_len(word) for text in texts for word in text.split()), default=0)
            least.append(max(words, min(most[-1], _PROSE_CHARACTERS)) if label in self._prose else words)
        room -= _GAP * (len(least) - 1) + sum(least)
        if room < 0:
            return None
        # Columns that lack little come first: with what is left, sentences are wrapped, which suffer least from it.
        for index in sorted(range(len(least)), key=lambda index: most[index] - least[index]):
            more = min(room, most[index] - least[index])
            least[index] += more
            room -= more
        return least

    def _print_blocks(self, to: Console) -> None:
        for number, row in enumerate(self._rows):
            if number:
                to.print()
            block = Table(box=None, pad_edge=False, show_header=False, padding=(0, _GAP, 0, 0))
            block.add_column(style="bright_black")
            block.add_column(overflow="fold")
            for label, cell in zip(self._labels, row, strict=True):
                if cell.plain:
                    block.add_row(label, cell)
            to.print(block)
