"""A run that is analysed: what its networks compute for its images. Analyses share it.

Axes: N images, D feature width, C classes, B batch, M peers.
"""

import base64
import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float32, Int64
from PIL import Image
from torch import nn

from peerdistill.cohort import Cohort, CohortOutput
from peerdistill.data import eval_batches
from peerdistill.data.dataset import ArraySplit, Split
from peerdistill.data.subset import rows_of
from peerdistill.deploy.what import ENSEMBLE, LEADER, check_what, peer_of
from peerdistill.errors import UserError
from peerdistill.evaluation import evaluating
from peerdistill.runs import Run, Which, chosen_split, deployable, load_task_of, restore
from peerdistill.runs.build import check_device
from peerdistill.runs.class_task import EVALUATION_BATCH
from peerdistill.runs.evaluate import check_evaluable, no_such_split, warn_other_images
from peerdistill.runs.samples import as_deployed
from peerdistill.study.analyses.base.rows import spaced_rows
from peerdistill.terms import MeanEnsemble

MOST_TRAINING_IMAGES = 10_000
"""Most training images whose features are computed."""

_THUMBNAIL = 96
"""Longest side of a picture in a result, in pixels."""


@dataclass(frozen=True, eq=False)
class NetworkOutputs:
    """What a network computes for the images of a split.

    Attributes:
        features: Penultimate features of every image.
        logits: Class logits of every image; None for a few-shot run, which has no fixed classes.
    """

    features: Float32[np.ndarray, "images width"]
    logits: Float32[np.ndarray, "images classes"] | None

    @cached_property
    def log_probabilities(self) -> Float32[np.ndarray, "images classes"]:
        """Logarithms of the class probabilities of every image."""
        from scipy.special import log_softmax

        assert self.logits is not None, "a few-shot run has no classes"
        return log_softmax(self.logits, axis=1)

    @cached_property
    def predicted(self) -> Int64[np.ndarray, " images"]:
        """The class with the highest logit of every image."""
        assert self.logits is not None, "a few-shot run has no classes"
        return self.logits.argmax(1)


class AnalysedRun:
    """A checkpoint of a run, and what its networks compute for an evaluation set. One pass over the images is made.

    Args:
        run: The run.
        which: The checkpoint.
        split: "test" or "val"; None: "test", or "val" with a warning if the data have no test images.
        what: The network that is examined, see :func:`peerdistill.runs.deployable`. The features of the ensemble are
            those of all peers, one after the other.
        device: Where the networks run.

    Attributes:
        task: The task of the run, with its data.
        restored: The checkpoint; the cohort is in evaluation mode and must not be changed.
        split: Name of the evaluation set.
        images: The evaluation set.
        labels: Class of every image of it.
        class_names: Names of its classes. Those of a few-shot run are not the classes of the training.

    Raises:
        UserError: The run, checkpoint, network, split or device does not exist, or the data have changed.
    """

    def __init__(
        self, run: Run, which: Which = "last", split: str | None = None, *, what: str = LEADER, device: str = "cpu"
    ):
        check_device(device)
        check_what(what, run.config.cohort.peers)
        self.run, self.what = run, what
        self.which: Which = which
        self.device = torch.device(device)
        self.restored = restore(run, which)
        self.task = load_task_of(run)
        self.split = chosen_split(run, self.task.data, split)
        images: Split | None = getattr(self.task.data, self.split)
        if images is None:
            raise no_such_split(run, self.split)
        self.images = images
        before = self.restored.state["notes"]["data"]
        check_evaluable(before, self.task.data, self.split)
        warn_other_images(before, self.task.data, self.split)
        self.labels: Int64[np.ndarray, " images"] = images.labels.numpy()
        self.class_names: tuple[str, ...] = getattr(images, "class_names", self.task.data.class_names)

    @property
    def is_few_shot(self) -> bool:
        """Whether the run learns from episodes: the classes of the evaluation set are not those of the training."""
        return self.run.config.kind == "episodes"

    @cached_property
    def peers(self) -> tuple[NetworkOutputs, ...]:
        """What each peer computes for the evaluation set; the last one is the leader."""
        return self._outputs[0]

    @cached_property
    def ensemble(self) -> NetworkOutputs:
        """What the ensemble computes for the evaluation set; its features are those of all peers side by side."""
        features = np.concatenate([peer.features for peer in self.peers], axis=1)
        return NetworkOutputs(features, self._outputs[1])

    @cached_property
    def examined(self) -> NetworkOutputs:
        """What the network that is examined computes for the evaluation set."""
        if self.what == ENSEMBLE:
            return self.ensemble
        if self._examined_name in self.named_peers:
            return self.named_peers[self._examined_name]
        (found,), _ = self._computed(self._network, MeanEnsemble(), self.images)
        return found

    @cached_property
    def named_peers(self) -> dict[str, NetworkOutputs]:
        """What each peer computes for the evaluation set, by its name: "peer:0", ..., "leader"."""
        names = [*(f"peer:{number}" for number in range(len(self.peers) - 1)), LEADER]
        return dict(zip(names, self.peers, strict=True))

    @cached_property
    def networks(self) -> dict[str, NetworkOutputs]:
        """What each network computes: peers, the ensemble of several, and the examined network if it is another."""
        ensemble = {ENSEMBLE: self.ensemble} if len(self.peers) > 1 else {}
        return {**self.named_peers, **ensemble, self._examined_name: self.examined}

    @property
    def _examined_name(self) -> str:
        """The name of the examined network in ``networks``: the last peer is called leader."""
        return LEADER if peer_of(self.what) == len(self.peers) - 1 else self.what

    @cached_property
    def training(self) -> tuple[Float32[np.ndarray, "images width"], Int64[np.ndarray, " images"]]:
        """Features of up to 10,000 training images without augmentation by the examined network, and their classes.

        If there are more images, they are evenly spaced over the classes.
        """
        images = self.task.data.train
        chosen = rows_of(images, spaced_rows(images.labels.numpy(), MOST_TRAINING_IMAGES))
        found, _ = self._computed(self._network, MeanEnsemble(), chosen)
        return np.concatenate([one.features for one in found], axis=1), chosen.labels.numpy()

    @cached_property
    def _network(self) -> nn.Module:
        """The examined network as a cohort: of one peer, or of all for the ensemble."""
        cohort = self.restored.cohort
        if self.what == ENSEMBLE:
            return cohort
        number = cohort.peers - 1 if self.what == LEADER else peer_of(self.what)
        if number is not None:
            backbone = replace(cohort.backbones[number], network=lambda: cohort.networks[number])
            return Cohort(backbone, cohort.classes, peers=1, sharing="network")
        return cohort.single(deployable(self.run, self.restored, self.what, task=self.task).network)

    @cached_property
    def _outputs(self) -> tuple[tuple[NetworkOutputs, ...], Float32[np.ndarray, "images classes"] | None]:
        cohort = self.restored.cohort
        return self._computed(cohort, self.task.ensemble(cohort, self.restored.state), self.images)

    @torch.no_grad()
    def _computed(
        self, cohort: nn.Module, ensemble: nn.Module, images: Split
    ) -> tuple[tuple[NetworkOutputs, ...], Float32[np.ndarray, "images classes"] | None]:
        """Return what every peer of a cohort computes for all images, and the logits of the ensemble."""
        features: list[list[np.ndarray]] = []
        logits: list[np.ndarray] = []
        together: list[np.ndarray] = []
        cohort, ensemble = cohort.to(self.device), ensemble.to(self.device)
        with evaluating(cohort, ensemble):
            for out in self._batch_outputs(cohort, images):
                features.append([_array(of_peer) for of_peer in out.features])
                logits.append(_array(out.logits))
                together.append(_array(ensemble(out)))
        of_peers = [np.concatenate(parts) for parts in zip(*features, strict=True)]
        if not all(np.isfinite(of_peer).all() for of_peer in of_peers):
            raise UserError(
                f"{self.run.path} cannot be analysed: the features of some {self.split} images are not finite"
            )
        if self.is_few_shot:
            return tuple(NetworkOutputs(of_peer, None) for of_peer in of_peers), None
        logits_MNC = np.concatenate(logits, axis=1)
        peers = (NetworkOutputs(*both) for both in zip(of_peers, logits_MNC, strict=True))
        return tuple(peers), np.concatenate(together)

    def _batch_outputs(self, cohort: nn.Module, images: Split) -> Iterator[CohortOutput]:
        workers = getattr(self.run.config.data, "workers", 0)
        size = {"batch_size": EVALUATION_BATCH, "device": self.device, "workers": workers}
        with closing(eval_batches(images, self.task.data, **size)) as batches:
            for batch in batches:
                yield cohort(batch.images)

    def image_name(self, row: int) -> str:
        """Return the path of an image of the evaluation set, or its row if the images are arrays."""
        return str(row) if isinstance(self.images, ArraySplit) else self.images.paths[row]

    def pictures(self, rows: Int64[np.ndarray, " rows"]) -> list[str]:
        """Return images of the evaluation set as the network gets them, as URLs ``data:image/png;base64,...``.

        Larger ones are reduced to 96 pixels.
        """
        pixels = as_deployed(self.images, torch.from_numpy(rows)).permute(0, 2, 3, 1).numpy()
        return [_png_url(picture) for picture in pixels]


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def _png_url(picture: np.ndarray) -> str:
    image = Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = io.BytesIO()
    image.save(content, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(content.getvalue()).decode()}"
