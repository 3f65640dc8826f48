"""What is wrong with a configuration, each mistake with its place."""

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """One mistake. `line` counts from 1; `key` is the dotted path, empty if the file as a whole is meant."""

    file: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        """Return `file:line: key.path: message`."""
        return (
            f"{self.file}:{self.line}: {self.key}: {self.message}"
            if self.key
            else f"{self.file}:{self.line}: {self.message}"
        )


class ConfigError(Exception):
    """A configuration that cannot be used; `problems` holds all of its mistakes, in the order of their lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems
