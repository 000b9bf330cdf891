"""Checks of a method's cohort."""

from typing import TYPE_CHECKING

from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.cohort import Cohort


def require_peers(cohort: "Cohort", fewest: int, name: str) -> None:
    """Raise UserError if ``cohort`` has fewer peers than the method called ``name`` needs."""
    if cohort.peers < fewest:
        raise UserError(f"{name} needs at least {fewest} peers, found {cohort.peers}")


def require_one_student(cohort: "Cohort", name: str) -> None:
    """Raise UserError if ``cohort`` has more than the one student that the method called ``name`` trains."""
    if cohort.peers != 1:
        raise UserError(f"{name} trains one student: peers must be 1, found {cohort.peers}")
