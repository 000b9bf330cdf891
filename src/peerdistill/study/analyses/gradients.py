"""The share of each part of the loss in the gradient, and whether the parts pull in the same direction."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from peerdistill.study.analyses.base.analysis import FIGURES, Analysis, DoesNotApply, Result
from peerdistill.study.analyses.base.numbers import finite

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from peerdistill.cohort import Cohort
    from peerdistill.study.analyses.base.analysed_run import AnalysedRun
    from peerdistill.terms import Method
    from peerdistill.training.batches import IndexedBatch

BATCHES = 4
"""Training batches of which the gradients are computed."""

LEADER, COHORT = "leader", "cohort"


def part_gradients(cohort: "Cohort", method: "Method", batch: "IndexedBatch") -> dict[str, dict[str, "Tensor"]]:
    """Return the gradient of each part of the loss of a batch, as one vector.

    Args:
        cohort: The peers, in training mode.
        method: Computes the loss.
        batch: A training batch.

    Returns:
        The gradients by the name of the part, with respect to the weights of the "leader", with its shared stages, and
        to those of the whole "cohort". Parts contain their weights, so that they sum to the gradient of the loss.
    """
    import torch

    weights = [weight for weight in cohort.parameters() if weight.requires_grad]
    of_leader = {id(weight) for weight in cohort.networks[-1].parameters()}
    loss = method(cohort(batch.images), batch.labels, batch.indices, batch.targets)
    found: dict[str, dict[str, Tensor]] = {LEADER: {}, COHORT: {}}
    for name, part in loss.parts.items():
        if part.requires_grad:
            slopes = torch.autograd.grad(part, weights, retain_graph=True, allow_unused=True)
        else:  # it depends on no weight
            slopes = [None] * len(weights)
        pairs = zip(weights, slopes, strict=True)
        vectors = [
            (id(weight), (torch.zeros_like(weight) if slope is None else slope).flatten()) for weight, slope in pairs
        ]
        found[COHORT][name] = torch.cat([vector for _, vector in vectors])
        found[LEADER][name] = torch.cat([vector for weight, vector in vectors if weight in of_leader])
    return found


def norms_and_cosines(
    gradients: Mapping[str, "Tensor"],
) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Return the norm of each gradient, and the cosine of each pair of them: NaN with a zero vector."""
    names = list(gradients)
    norms = {name: float(gradient.norm()) for name, gradient in gradients.items()}
    cosines = {}
    for number, first in enumerate(names):
        for second in names[number + 1 :]:
            lengths = norms[first] * norms[second]
            product = float(gradients[first] @ gradients[second])
            cosines[first, second] = product / lengths if lengths else float("nan")
    return norms, cosines


def compute(run: "AnalysedRun") -> Result:
    """Return norms, shares and cosines of the parts, as means over 4 training batches of the epoch after the last one.

    The networks are a copy in training mode, in float32. Weights that ramp up are those of the last epoch. Negatives
    are drawn with the seed of the run.
    """
    from peerdistill.rng import library_draws

    with library_draws(run.run.config.training.seed):
        cohort, method = _as_trained(run)
        found = [part_gradients(cohort, method, batch) for batch in _batches(run)]
    values = {of: _means([one[of] for one in found]) for of in (LEADER, COHORT)}
    parts = list(values[LEADER]["norms"])
    figures = {f"{of}: {part} (% of the norms)": values[of]["shares"][part] for of in values for part in parts}
    figures |= {f"leader: cosine of {pair}": cosine for pair, cosine in values[LEADER]["cosines"].items()}
    return {FIGURES: figures, "batches": len(found), **values}


def _batches(run: "AnalysedRun") -> Iterator["IndexedBatch"]:
    batches = run.task.batches(run.device)
    try:
        yield from islice(batches.epoch(run.restored.epoch), BATCHES)
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()


def _as_trained(run: "AnalysedRun") -> tuple["Cohort", "Method"]:
    """Return a copy of the cohort and the method of the checkpoint, in training mode."""
    from peerdistill.errors import PeerdistillWarning, UserError
    from peerdistill.runs import restore
    from peerdistill.training.bank_shards import with_banks
    from peerdistill.training.state import load_method

    restored = restore(run.run, run.which)
    cohort = restored.cohort.to(run.device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PeerdistillWarning)  # the training has shown them
            method = run.task.method(cohort).to(run.device)
    except UserError as error:  # other analyses need no teacher
        raise DoesNotApply(f"the method of the run cannot be built: {error}") from error
    try:
        state = with_banks(restored.state, method, run.run.checkpoints)
    except UserError as error:  # nor memory banks, which best.pt lacks if they are divided among processes
        raise DoesNotApply(str(error)) from error
    load_method(method, state)
    method.batches_per_step = BATCHES  # no step is taken between the batches
    method.start_epoch(max(restored.epoch - 1, 0))
    return cohort.train(), method.train()


def _means(found: Sequence[Mapping[str, "Tensor"]]) -> dict[str, Any]:
    """Return the mean norm of each part, its share of their sum in percent, and the mean cosines of pairs."""
    measured = [norms_and_cosines(gradients) for gradients in found]
    norms = {part: float(np.mean([norms[part] for norms, _ in measured])) for part in measured[0][0]}
    total = sum(norms.values())
    cosines = {pair: np.mean([cosines[pair] for _, cosines in measured]) for pair in measured[0][1]}
    return {
        "norms": {part: finite(norm) for part, norm in norms.items()},
        "shares": {part: finite(100 * norm / total) if total else None for part, norm in norms.items()},
        "cosines": {" and ".join(pair): finite(cosine) for pair, cosine in cosines.items()},
    }


def draw(results: Mapping[str, Result]) -> "Figure":
    """Draw the shares of the parts as bars: of the leader and of the cohort of each run."""
    from peerdistill.evaluation.plotting import COLOURS
    from peerdistill.study.plotting import panels, short

    figure, (axes,) = panels(
        ["share of each part of the loss in the sum of the gradients' norms"], (7.5, 1.2 + 0.7 * len(results))
    )
    bars = [(run, of) for run in results for of in (LEADER, COHORT)]
    parts = list(dict.fromkeys(part for result in results.values() for part in result[LEADER]["shares"]))
    left = np.zeros(len(bars))
    for number, part in enumerate(parts):
        widths = np.array([results[run][of]["shares"].get(part) or 0.0 for run, of in bars])
        axes.barh(
            range(len(bars)), widths, left=left, color=COLOURS[number % len(COLOURS)], label=part.replace("_", "-")
        )
        left += widths
    axes.set_yticks(range(len(bars)), [f"{short(run, 24)}, {of}" for run, of in bars], parse_math=False)
    axes.invert_yaxis()
    axes.set(xlabel="%", xlim=(0, 100))
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


ANALYSIS = Analysis("gradients", "share of each part of the loss in the gradient", compute, draw)
