"""A run is a folder. Opening one does not import PyTorch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peerdistill.config.command_line import read_config
from peerdistill.config.config import CONFIG_FILE, IMAGES_FILE, TEST_IMAGES_FILE, Config
from peerdistill.deploy.what import LEADER
from peerdistill.errors import Failure, UserError, cause
from peerdistill.files import LOCK_FILE, SHARD_SUFFIX, WRITING, HeldFolder, write_whole
from peerdistill.paths import user_path
from peerdistill.training.loggers.tracker import MARKS
from peerdistill.training.metrics import METRICS_FILE

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from peerdistill.data.python_images import Images
    from peerdistill.deploy import ExportReport, Prediction
    from peerdistill.runs.predictions import Predictions
    from peerdistill.training import Checkpoints

PLACES = ("data", "test", "labels", "root")
"""Options that say where the data are."""

Which = Literal["last", "best"]
CHECKPOINTS: tuple[Which, ...] = ("last", "best")
"""Names of checkpoints: of the last epoch, and of the best epoch on the validation images."""


class Run:
    """The folder of a run: ``config.yaml``, ``metrics.jsonl``, ``checkpoints/``, ``environment.json``,
    ``result.json``, ``predictions/``, and what loggers write; with a budget also ``plan.json``, with images that were
    given in Python also ``images.npz`` and ``test_images.npz``.

    Args:
        path: The folder.
        places: Where the data are now, if not where ``config.yaml`` says: ``data``, ``test``, ``labels`` or ``root``.

    Example:
        .. code-block:: python

            run = Run("runs/photos")
            run.evaluate()["leader"]["top1"]
            run.export("onnx")
            run.predict(["cat.jpg"])[0].classes
    """

    def __init__(self, path: Path | str, places: Mapping[str, str] | None = None):
        self.path = user_path(path, "the run folder")
        self.places = dict(places or {})
        self.config_file = self.path / CONFIG_FILE
        self.metrics_file = self.path / METRICS_FILE
        self.tensorboard = self.path / "tensorboard"
        self.environment_file = self.path / "environment.json"
        self.plan_file = self.path / "plan.json"
        self.result_file = self.path / "result.json"
        self.images_file = self.path / IMAGES_FILE
        self.test_images_file = self.path / TEST_IMAGES_FILE
        self._checkpoints = self.path / "checkpoints"
        self._marks = self.path / MARKS
        self._held = HeldFolder(self.path)
        self._config: Config | None = None

    @property
    def exists(self) -> bool:
        """Whether the folder holds a run."""
        return self.config_file.is_file()

    @property
    def has_results(self) -> bool:
        """Whether training has written anything: a checkpoint, metrics or a result."""
        files = [*self._checkpoints.glob("*.pt"), self.result_file, self.metrics_file]
        return any(file.is_file() and file.stat().st_size for file in files)

    @property
    def saved(self) -> tuple[Which, ...]:
        """Names of the checkpoints that exist."""
        return tuple(which for which in CHECKPOINTS if getattr(self.checkpoints, which).exists())

    def leader(self, which: Which = "last") -> "nn.Module":
        """Return the leader of a checkpoint: a plain module that takes normalised images, in evaluation mode.

        Raises:
            UserError: The run or the checkpoint does not exist.
        """
        from peerdistill.runs.restore import restore

        return restore(self, which).leader()

    def network(self, what: str = LEADER, which: Which = "last") -> "nn.Module":
        """Return a network of a checkpoint: a plain module that takes normalised images, in evaluation mode.

        Args:
            what: "leader"; "ensemble", all peers as one network with the ensemble of the method; "peer:K", peer K of
                0 to peers - 1; "ema", the moving average of the leader's weights; or "average", the mean of the peers'
                weights, for which the data of the run are needed.
            which: The checkpoint.

        Raises:
            UserError: The run, the checkpoint or the network does not exist.
        """
        from peerdistill.runs.deployable import deployable
        from peerdistill.runs.restore import restore

        return deployable(self, restore(self, which), what).network

    def evaluate(
        self,
        which: Which = "last",
        split: str | None = None,
        device: str = "cpu",
        *,
        data: "str | Path | Images | None" = None,
        labels: str | Path | None = None,
        class_names: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return scores: ``checkpoint``, ``split``, ``samples``, ``peers``, ``leader`` and ``ensemble``.

        Of leader and ensemble, ``balanced_accuracy``, ``ece``, ``per_class`` and ``confusion`` are reported too, unless
        the run learns from episodes; see :class:`peerdistill.evaluation.ClassReport`.

        Args:
            which: The checkpoint.
            split: "test" or "val"; by default "test", or "val" if the data have no test images.
            device: Where to evaluate.
            data: Other images with the classes of the run, named or in memory as for :func:`peerdistill.train`. In
                memory, labels that are integers are rows of the class names.
            labels: The table of labels of ``data``, see ``peerdistill evaluate --labels``.
            class_names: The names of the classes of images in memory; by default those of ``data``, or else those of
                the run.

        Raises:
            UserError: The run, checkpoint, split or device does not exist, or the data have changed.
        """
        from peerdistill.runs.evaluate import evaluator_of, evaluator_on_given
        from peerdistill.runs.given_images import is_given, require_no_memory

        if data is not None and is_given(data):
            if split is not None:
                raise UserError(f"split does not apply to images in memory, found {split}")
            evaluator = evaluator_on_given(self, data, class_names, device)
        else:
            require_no_memory(data, class_names=class_names)
            named = {name: str(value) for name, value in (("data", data), ("labels", labels)) if value is not None}
            evaluator = evaluator_of(Run(self.path, {**self.places, **named}), split, device)
        if self.config.kind == "episodes":
            return {"checkpoint": which, "split": evaluator.split, **evaluator(which).as_dict()}
        return evaluator.report(which).as_dict()

    def predictions(self, which: Which = "last", split: str = "test") -> "Predictions":
        """Return what leader and ensemble predicted for every image at the end of training, without the images.

        Args:
            which: The checkpoint.
            split: "test" or "val".

        Raises:
            UserError: Training has not ended, or the data have no such split, or the run learns from episodes.
        """
        from peerdistill.runs.predictions import predictions_file, read_predictions

        return read_predictions(predictions_file(self, which, split))

    def export(
        self,
        format: str = "onnx",
        output: Path | str | None = None,
        *,
        what: str = LEADER,
        which: Which = "last",
        force: bool = False,
        calibrate: bool = False,
    ) -> "ExportReport":
        """Write the leader or another network as one file and verify it on pictures of the run.

        Args:
            format: Name of an export format, such as "onnx", "safetensors", "pt2" or "int8".
            output: The file to write; by default in the run folder.
            what: The network, see :meth:`network`.
            which: The checkpoint.
            force: Replace an existing file.
            calibrate: Fit a temperature on the validation images, by which the file divides its logits.

        Raises:
            UserError: The run, checkpoint, network, format or data are missing, the file exists, or the format does
                not hold an ensemble.
            ExportError: The network cannot be written in this format.
        """
        from peerdistill.deploy import formats
        from peerdistill.runs.export import export

        found = formats.find(format)
        path = self.path / found.default_name_of(what) if output is None else user_path(output, "output")
        return export(self, found, path, what=what, which=which, force=force, calibrate=calibrate).report

    def predict(
        self,
        pictures: "Sequence[Any] | np.ndarray | Tensor",
        *,
        what: str = LEADER,
        which: Which = "last",
        support: Path | str | None = None,
        top: int = 5,
        unreadable: "Callable[[UserError], object] | None" = None,
        progress: "Callable[[int, int], object] | None" = None,
    ) -> "list[Prediction]":
        """Classify pictures with the leader or another network, see :func:`peerdistill.deploy.predict`.

        Args:
            pictures: Picture files, folders, patterns and lists, PIL images and arrays, see
                :func:`peerdistill.deploy.pictures.named_pictures`; or all images as one array, as for
                :func:`peerdistill.train`. The ``path`` of a prediction is then the place of the image.
            what: The network, see :meth:`network`.
            which: The checkpoint.
            support: For an encoder: a folder with one folder of example pictures per class.
            top: Number of classes per picture.
            unreadable: Called with the error of each picture that cannot be read; by default the first one is raised.
            progress: Called after every batch with the number of pictures that are done, and of all pictures.

        Raises:
            UserError: The run, checkpoint or network does not exist, or a picture cannot be read.
        """
        from peerdistill import deploy
        from peerdistill.data.python_images import pixels_of
        from peerdistill.runs.deployable import deployable
        from peerdistill.runs.restore import restore

        listed: Any = list(pixels_of("pictures", pictures)) if hasattr(pictures, "__array__") else pictures
        chosen = deployable(self, restore(self, which), what)
        return deploy.predict_with(
            chosen.scorer(),
            chosen.card,
            listed,
            support=support,
            top=top,
            unreadable=unreadable,
            progress=progress,
        )

    @property
    def checkpoints(self) -> "Checkpoints":
        """The checkpoints. This imports PyTorch."""
        from peerdistill.training import Checkpoints

        return Checkpoints(self._checkpoints)

    @property
    def config(self) -> Config:
        """The configuration that the run was started with, and the present place of its data; its file is read once.

        Raises:
            UserError: The folder holds no run, or its configuration is damaged.
        """
        self.require()
        if self._config is None:
            config = read_config(self.config_file)
            self._config = config.moved(self.places) if self.places else config
        return self._config

    def _write_config(self, config: Config) -> None:
        write_whole(self.config_file, config.as_yaml())
        self._config = None

    def require(self) -> None:
        """Raise UserError if the folder holds no run."""
        if not self.path.is_dir():
            raise UserError(f"there is no run folder {self.path}")
        if not self.exists:
            raise UserError(f"{self.path} holds no run: {CONFIG_FILE} is missing")

    def require_free(self) -> None:
        """Raise UserError if the folder holds other files, or if another process writes to it.

        A run that ended before anything was trained does not count.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--run {self.path} is a file: a run needs a new or empty folder")
        if (self.path / LOCK_FILE).exists():
            with self.held():
                self._require_nothing_trained()
        else:
            self._require_nothing_trained()

    def _require_nothing_trained(self) -> None:
        if self.exists and self.has_results:
            raise UserError(f"{self.path} holds a run: continue it with --resume, or choose another folder with --run")
        if self.exists:
            read_config(self.config_file)  # raises if it is the file of something else
        if others := set(self._contents()) - set(self._of_a_begun_run()):
            raise UserError(f"{self.path} is in use ('{min(others).name}'): a run needs a new or empty folder")

    def _contents(self) -> Iterator[Path]:
        """Yield the files and empty folders inside."""
        return (file for file in self.path.rglob("*") if not file.is_dir() or not any(file.iterdir()))

    def _of_a_begun_run(self) -> Iterator[Path]:
        """Yield the files that a process may leave if it is killed before anything was trained."""
        yield self.path / LOCK_FILE
        yield self.path / (CONFIG_FILE + WRITING)
        if self.exists:
            yield from (self.config_file, self.environment_file, self._checkpoints, self.tensorboard, self._marks)
            yield self.path / (self.environment_file.name + WRITING)
            yield from self._checkpoints.glob(f"*{WRITING}")
            yield from self._checkpoints.glob(f"*{SHARD_SUFFIX}")
            for file in (self.plan_file, self.images_file, self.test_images_file):
                yield from (file, file.with_name(file.name + WRITING))
            yield from self.tensorboard.glob("events.out.tfevents.*")
            yield from self._marks.glob("*.json*")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Prevent other processes from training in the folder.

        Raises:
            UserError: Another process trains in it.
        """
        self._held.hold()
        try:
            yield
        finally:
            self._held.release()

    def check_in_place(self) -> None:
        """Raise Failure if the locked folder was removed, renamed or emptied."""
        self._held.check_in_place()
        if not self.exists:
            raise Failure(f"{self.config_file} was removed while the run was trained")

    @contextmanager
    def started(self, config: Config) -> Iterator[None]:
        """Create the folder and lock it; from then on it is a run that can be resumed.

        If an error occurs before anything was trained, the folder is restored as it was.

        Raises:
            UserError: The folder is in use, or cannot be created.
            WriteError: The configuration cannot be written.
        """
        new = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path} cannot be created: {cause(error)}") from error
        try:
            with self.held():
                self._require_nothing_trained()
                try:
                    self._clear()
                    self._write_config(config)
                    yield
                except BaseException:
                    if not self.has_results:
                        self._clear()
                    raise
        except BaseException:
            for folder in new:
                with suppress(OSError):
                    folder.rmdir()
            raise

    def remember_places(self, config: Config) -> None:
        """Record the places of the data in ``config`` if they have changed since the run was started.

        Raises:
            WriteError: The configuration cannot be written.
        """
        known = self.config
        now = {name: getattr(config.data, name, None) for name in PLACES}
        moved = {name: place for name, place in now.items() if place and place != getattr(known.data, name)}
        if moved:
            self._write_config(known.moved(moved))

    def create(self, config: Config) -> None:
        """Create a run without training it."""
        with self.started(config):
            pass

    def _clear(self) -> None:
        """Remove what a run writes before anything is trained; the configuration is removed last."""
        begun = [path for path in self._of_a_begun_run() if path not in (self.config_file, self.path / LOCK_FILE)]
        for path in (*begun, self.metrics_file, self.config_file):
            with suppress(OSError):
                path.unlink(missing_ok=True)
        for folder in (self._checkpoints, self.tensorboard, self._marks):
            with suppress(OSError):
                folder.rmdir()
