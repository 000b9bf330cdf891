from .episodes import Comparison, Examined, compare, exam_configs, examine, few_shot_task, paired
from .evaluate import calibration_pictures, chosen_split, evaluate_run, load_data, sample_pictures
from .other_images import OtherImages, evaluate_on, images_of
from .restore import Restored, restore, scorer_of
from .run import Run
from .tasks import load_task, load_task_of
from .teacher import load_feature_teacher, load_teacher
from .train import train

__all__ = [
    "Comparison",
    "Examined",
    "OtherImages",
    "Restored",
    "Run",
    "calibration_pictures",
    "chosen_split",
    "compare",
    "evaluate_on",
    "evaluate_run",
    "exam_configs",
    "examine",
    "few_shot_task",
    "images_of",
    "load_data",
    "load_feature_teacher",
    "load_task",
    "load_task_of",
    "load_teacher",
    "paired",
    "restore",
    "sample_pictures",
    "scorer_of",
    "train",
]
