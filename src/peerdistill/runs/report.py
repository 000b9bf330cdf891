"""Where a run is right and wrong, as JSON, CSV and plots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.evaluation import ClassReport, EvaluationReport, Scores
from peerdistill.files import make_folder, write_csv
from peerdistill.runs.run import Which
from peerdistill.runs.samples import as_deployed


@dataclass(frozen=True, eq=False)
class RunReport:
    """Where a checkpoint of a run is right and wrong on one evaluation set.

    Attributes:
        checkpoint: The checkpoint.
        split: Name of the evaluation set.
        report: Scores, and the reports of leader and ensemble.
        class_names: Name of every class.
        images: The evaluation set.
        others: Scores of further networks by name, such as the "average" of the peers.
    """

    checkpoint: Which
    split: str
    report: EvaluationReport
    class_names: tuple[str, ...]
    images: Split
    others: Mapping[str, Scores] = field(default_factory=dict)

    @property
    def predictors(self) -> dict[str, ClassReport]:
        """The reports of the leader and, if there are several peers, of the ensemble by name."""
        found = {"leader": self.report.leader}
        return {**found, "ensemble": self.report.ensemble} if len(self.report.evaluation.peers) > 1 else found

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        about = {"checkpoint": self.checkpoint, "split": self.split}
        others = {name: scores.as_dict() for name, scores in self.others.items()}
        return {**about, **self.report.as_dict(self.class_names), **others}

    def name(self, index: int) -> str:
        """Return the path of an image, or its index if the images are arrays."""
        return str(index) if isinstance(self.images, ArraySplit) else self.images.paths[index]

    def write_csv(self, path: Path) -> None:
        """Write one line per image.

        The columns are ``path`` (or ``index``), ``true``, ``predicted``, ``probability`` and ``correct`` of the leader;
        with several peers also ``ensemble_predicted``, ``ensemble_probability`` and ``ensemble_correct``.

        Raises:
            WriteError: The file cannot be written.
        """
        columns = ["predicted", "probability", "correct"]
        header = ["index" if isinstance(self.images, ArraySplit) else "path", "true"]
        for predictor in self.predictors:
            header += columns if predictor == "leader" else [f"{predictor}_{column}" for column in columns]
        write_csv(path, header, self._rows())

    def _rows(self) -> Iterator[list[object]]:
        names, reports = self.class_names, self.predictors.values()
        for index, label in enumerate(self.report.leader.labels.tolist()):
            row: list[object] = [self.name(index), names[label]]
            for report in reports:
                predicted = int(report.predicted[index])
                row += [names[predicted], f"{report.probabilities[index]:.6f}", int(predicted == label)]
            yield row

    def draw(self, folder: Path) -> list[Path]:
        """Write the plots of the leader, and of the ensemble if there are several peers.

        They are ``leader_confusion.png``, ``leader_mistakes.png``, ``leader_reliability.png``, ``ensemble_...``.

        Returns:
            The files.

        Raises:
            UserError: The folder cannot be created.
            WriteError: A file cannot be written.
        """
        from peerdistill.evaluation import plots

        make_folder(folder)
        found = []
        for name, report in self.predictors.items():
            title = f"{name}, {len(report.labels)} {_SPLITS.get(self.split, self.split)} images"
            files = [folder / f"{name}_{plot}.png" for plot in ("confusion", "mistakes", "reliability")]
            plots.plot_confusion(report, self.class_names, title, files[0])
            shown = [mistake.index for mistake in report.mistakes[: plots.MISTAKES]]
            pictures = as_deployed(self.images, torch.tensor(shown, dtype=torch.long)).numpy()
            plots.plot_mistakes(
                report, self.class_names, pictures, [Path(self.name(row)).name for row in shown], title, files[1]
            )
            plots.plot_reliability(report, title, files[2])
            found += files
        return found


_SPLITS = {"val": "validation", "all": "other"}
