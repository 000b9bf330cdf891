"""How the first of several processes starts the others, which train with it but never write to the run folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from torch import distributed

from peerdistill.errors import Failure, UserError
from peerdistill.training import Checkpoints, MetricsFile


class Followers:
    """Messages between the first process and the others. With a single process, they do nothing.

    Args:
        fabric: Knows the processes; it is launched.
    """

    def __init__(self, fabric: Fabric):
        self._fabric = fabric
        self._started = False

    @contextmanager
    def informed(self) -> Iterator[None]:
        """Tell the other processes if the first one fails before it has started them."""
        try:
            yield
        except BaseException as error:
            if not self._started:
                self._send(error if isinstance(error, UserError | Failure) else Failure("the first process failed"))
            raise

    def start(self, checkpoint: Path | None) -> None:
        """Start the training of the other processes.

        Args:
            checkpoint: The checkpoint to start from; None: from the beginning.
        """
        self._started = True
        self._send(checkpoint)

    def wait(self) -> Path | None:
        """Return the checkpoint to start from, in another process than the first.

        Raises:
            UserError: The first process found the input wrong.
            Failure: The first process failed.
        """
        found = self._fabric.broadcast(None)
        if isinstance(found, UserError | Failure):
            raise found
        return found

    def agree(self, found: UserError | Failure | None = None) -> None:
        """Wait for all processes, and raise the first of their errors in each of them.

        Args:
            found: The error of this process; None: it has none.

        Raises:
            UserError: A process found the input wrong.
            Failure: A process failed.
        """
        errors: list[UserError | Failure | None] = [found]
        if self._fabric.world_size > 1:
            errors *= self._fabric.world_size
            distributed.all_gather_object(errors, found)
        for error in filter(None, errors):
            raise error

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Let all processes :meth:`agree` at the end."""
        found: UserError | Failure | None = None
        try:
            yield
        except (UserError, Failure) as error:
            found = error
        self.agree(found)

    def end(self, result: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the first process in all of them; what the others pass is not used."""
        return self._fabric.broadcast(result)

    def _send(self, message: Any) -> None:
        if self._fabric.world_size > 1:
            self._fabric.broadcast(message)


class NoCheckpoints(Checkpoints):
    """Reads checkpoints, but writes none."""

    def save(self, state: dict[str, Any], *, best: bool = False) -> None:
        """Do nothing: the first process writes the checkpoint."""


class NoMetrics(MetricsFile):
    """Writes nothing."""

    @property
    def size(self) -> int:
        """Zero."""
        return 0

    def append(self, record: dict[str, Any]) -> None:
        """Do nothing: the first process writes the line."""

    def truncate(self, size: int) -> None:
        """Do nothing."""
