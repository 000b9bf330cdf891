"""A time budget, as users write it: 2h, 90m, 45s or 1h30m."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from peerdistill.config.config import Config
from peerdistill.errors import UserError, shortened

_HOUR, _MINUTE = 3600.0, 60.0
_NUMBER = r"[0-9]{1,6}(?:\.[0-9]{1,6})?"
_FORM = re.compile(rf"(?=.)(?:(?P<hours>{_NUMBER})h)?(?:(?P<minutes>{_NUMBER})m)?(?:(?P<seconds>{_NUMBER})s)?")


@dataclass(frozen=True)
class Budget:
    """The time that a run may take. By default its clock runs from the moment at which the object is created.

    Attributes:
        seconds: The whole time.
        started: When the clock was started, in seconds of :func:`time.monotonic`.

    Example:
        >>> budget = Budget.of("1h30m")
        >>> budget.seconds, str(budget)
        (5400.0, '1 hour 30 minutes')
    """

    seconds: float
    started: float = field(default_factory=lambda: time.monotonic())

    @classmethod
    def of(cls, text: Any, started: float | None = None) -> "Budget":
        """Return the budget that a text states.

        Args:
            text: The text.
            started: When the clock was started, if not now.

        Raises:
            UserError: The text is not a time above 0, such as 2h, 90m, 45s or 1h30m.
        """
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        parts = {name: float(part) for name, part in (found.groupdict().items() if found else ()) if part}
        seconds = sum(parts.get(name, 0.0) * unit for name, unit in (("hours", _HOUR), ("minutes", _MINUTE)))
        seconds += parts.get("seconds", 0.0)
        if not seconds > 0:
            shown = "null" if text is None else shortened(text) or "nothing"
            raise UserError(f"budget must be a time such as 2h, 90m, 45s or 1h30m, found {shown}")
        return cls(seconds) if started is None else cls(seconds, started)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.started + self.seconds - time.monotonic()

    def __str__(self) -> str:
        hours, rest = divmod(self.seconds, _HOUR)
        minutes, seconds = divmod(rest, _MINUTE)
        parts = [_count(value, name) for value, name in ((hours, "hour"), (minutes, "minute"), (seconds, "second"))]
        return " ".join(filter(None, parts))


def plannable(config: Config) -> Config:
    """Return a configuration that a budget can complete: with as few epochs as possible until then.

    Raises:
        UserError: Its length was chosen, or several processes would train it.
    """
    if config.length not in config.implied:
        found = config.training.epochs if config.episodes is None else config.episodes.episodes
        raise UserError(
            f"{config.length} {found} cannot be combined with budget, which plans the {config.length}: "
            "leave out one of them"
        )
    check_one_process(config.training.devices or 1)
    return config.with_epochs(config.training.fewest_epochs)


def check_one_process(processes: int) -> None:
    """Raise UserError if several processes train together."""
    if processes > 1:
        raise UserError(
            f"budget cannot be combined with several devices, found {processes}: set epochs or episodes instead"
        )


def _count(value: float, name: str) -> str:
    if not value:
        return ""
    return f"{value:g} {name}" if value == 1 else f"{value:g} {name}s"
