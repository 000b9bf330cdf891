from .average import average_of
from .deployable import Deployable, deployable
from .episodes import (
    Comparison,
    EpisodeResult,
    compare,
    episode_sets,
    evaluate_episodes,
    few_shot_task,
    paired,
    same_episodes,
)
from .evaluate import RunEvaluator, chosen_split, evaluate_run, evaluator_of, evaluator_of_task
from .export import RunExport, export
from .other_images import OtherImages, images_of
from .predictions import Predicted, Predictions, read_predictions
from .preview import DryRun, dry_run
from .report import RunReport
from .restore import Restored, restore
from .run import CHECKPOINTS, PLACES, Run, Which
from .samples import calibration_pictures, load_data, sample_pictures
from .tasks import load_task, load_task_of
from .teacher import load_feature_teacher, load_teacher
from .train import train

__all__ = [
    "CHECKPOINTS",
    "PLACES",
    "Comparison",
    "Deployable",
    "DryRun",
    "EpisodeResult",
    "OtherImages",
    "Predicted",
    "Predictions",
    "Restored",
    "Run",
    "RunEvaluator",
    "RunExport",
    "RunReport",
    "Which",
    "average_of",
    "calibration_pictures",
    "chosen_split",
    "compare",
    "deployable",
    "dry_run",
    "episode_sets",
    "evaluate_episodes",
    "evaluate_run",
    "evaluator_of",
    "evaluator_of_task",
    "export",
    "few_shot_task",
    "images_of",
    "load_data",
    "load_feature_teacher",
    "load_task",
    "load_task_of",
    "load_teacher",
    "paired",
    "read_predictions",
    "restore",
    "same_episodes",
    "sample_pictures",
    "train",
]
