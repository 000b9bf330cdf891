"""Few-shot runs, measured on the same episodes."""

from collections.abc import Sequence

from peerdistill import runs
from peerdistill.fewshot import EpisodeSetConfig
from peerdistill.runs import EpisodeResult
from peerdistill.runs.run import Run, Which
from peerdistill.study.comparison.measured import Measured, figures_of, result_of


def episode_runs(
    compared: Sequence[Run],
    configs: Sequence[EpisodeSetConfig],
    which: Which = "last",
    split: str = "test",
    device: str = "cpu",
) -> list[Measured]:
    """Return few-shot runs with their accuracy in every episode.

    Args:
        compared: The runs.
        configs: The evaluation sets.
        which: The checkpoint.
        split: "test" or "val".
        device: Where to evaluate.

    Raises:
        UserError: As :func:`peerdistill.runs.same_episodes`.
    """
    found = runs.same_episodes(compared, configs, which, split, device)
    return [_measured(run, of_run) for run, of_run in zip(compared, found, strict=True)]


def _measured(run: Run, results: Sequence[EpisodeResult]) -> Measured:
    columns = [one.episodes.shape.column for one in results]
    samples = {column: 100 * one.leader.double().numpy() for column, one in zip(columns, results, strict=True)}
    figures = {column: figures_of(one.evaluation().as_dict()) for column, one in zip(columns, results, strict=True)}
    return Measured(run, samples, figures, result_of(run) if run.result_file.is_file() else {})
