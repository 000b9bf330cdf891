"""The sizes of the data that a cost depends on."""

from dataclasses import dataclass

from peerdistill.config.config import Config
from peerdistill.data.dataset import Dataset
from peerdistill.deploy import LeaderCard
from peerdistill.runs.restore import load_state
from peerdistill.runs.run import Run
from peerdistill.runs.tasks import load_task


@dataclass(frozen=True)
class Sizes:
    """The sizes of the training images. All classes are taken to be of the same size.

    Attributes:
        samples: Number of training images N.
        classes: Number of (training) classes C.
        image_size: Side of the square images in pixels.
        channels: 1 (grey) or 3 (RGB).
    """

    samples: int
    classes: int
    image_size: int
    channels: int = 3


CIFAR_100 = Sizes(samples=50_000, classes=100, image_size=32)
"""The training images of CIFAR-100."""


def sizes_of_config(config: Config) -> Sizes:
    """Return the sizes of the data of a configuration. The data are loaded.

    Raises:
        UserError: The data are missing or damaged.
    """
    return sizes_of(load_task(config).data)


def sizes_of(data: Dataset) -> Sizes:
    """Return the sizes of images that are loaded."""
    return Sizes(len(data.train), len(data.class_names), data.image_size, data.channels)


def sizes_of_run(run: Run) -> Sizes:
    """Return the sizes of the data of a run, from its last checkpoint: the data are not needed.

    Raises:
        UserError: The run does not exist, or has no checkpoint yet.
    """
    notes = load_state(run)[0]["notes"]
    card = LeaderCard.from_metadata(notes["card"], run.path)
    return Sizes(notes["data"]["train_images"], len(notes["data"]["class_names"]), card.image_size, card.channels)
