"""Starting a small internet from outside, in namespaces of its own, and asking it for verdicts.

The process inside is the first of its process namespace: when it ends, however it ends, the kernel ends everything it
started and takes the namespaces down with it. It is killed when whoever started it dies.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, Self

ROOT: Final = Path(__file__).parents[3]
# User, network, mount and process namespaces; root of its own, without privileges outside. It is killed with us.
UNSHARE: Final = (
    "setpriv",
    "--pdeathsig",
    "KILL",
    "unshare",
    "--map-root-user",
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child=SIGKILL",
)


class LaboratoryError(Exception):
    """The laboratory itself failed; says nothing about the program that it tests."""


class Laboratory:
    """Use it as a context manager; `folder` receives configurations, databases and logs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._log = folder / "laboratory.log"
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as resources:
            log = resources.enter_context(self._log.open("w"))
            self.process = resources.enter_context(
                subprocess.Popen(
                    [*UNSHARE, sys.executable, "-m", "tests.lab.internet.inside", str(self._folder)],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
                )
            )  # fmt: skip
            resources.callback(self._end)
            self._answer()  # that it is ready
            self._resources = resources.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    def ask(self, scenario: str, how: str = "round", **more: object) -> dict[str, Any]:
        """Have a scenario carried out, `round` or `protocol`; returns what was found. Raises LaboratoryError."""
        stdin = self._pipe(self.process.stdin)
        try:
            stdin.write(json.dumps({"scenario": scenario, "how": how, **more}) + "\n")
            stdin.flush()
        except BrokenPipeError as error:
            raise LaboratoryError(self._log.read_text()[-4000:]) from error
        return self._answer()

    def look(self, scenario: str, *looks: tuple[str, str, int, str]) -> list[str]:
        """Arrange a scenario and let a plain client look: (step, address, port, name) each."""
        seen: list[str] = self.ask(scenario, "look", looks=looks)["seen"]
        return seen

    def _answer(self) -> dict[str, Any]:
        line = self._pipe(self.process.stdout).readline()
        if not line:
            raise LaboratoryError(self._log.read_text()[-4000:])
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LaboratoryError(answer["error"])
        return answer

    def _end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe(self.process.stdin).close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@contextlib.contextmanager
def laboratories(folder: Path, number: int) -> Iterator[list[Laboratory]]:
    """Yield that many side by side."""
    with contextlib.ExitStack() as running:
        yield [running.enter_context(Laboratory(folder / f"laboratory-{one}")) for one in range(number)]
