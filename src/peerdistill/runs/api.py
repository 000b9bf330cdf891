"""Training in one call."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.config import Config
from peerdistill.config.budget import Budget, plannable
from peerdistill.config.config import IMAGES_FILE
from peerdistill.config.kinds import KindName
from peerdistill.runs.run import Run

if TYPE_CHECKING:
    from peerdistill.data.python_images import Images
    from peerdistill.runs.preview import DryRun


def train(
    data: "str | Path | Images",
    *,
    test: "str | Path | Images | Mapping[str, Any] | None" = None,
    class_names: Sequence[str] | None = None,
    kind: KindName = "classes",
    run: str | Path | None = None,
    resume: bool = False,
    download: bool = False,
    skip_unreadable: bool = False,
    budget: str | None = None,
    **options: Any,
) -> Run:
    """Train peers and return the run, as ``peerdistill train`` and ``peerdistill fewshot`` do.

    Args:
        data: What to learn from, as DATA on the command line: a name, a folder, ``npz:FILE`` or
            ``package.module:function``. Or images in memory: ``(images, labels)``, ``(images, labels, class_names)`` or
            a ``torch.utils.data.Dataset``, see :func:`peerdistill.data.python_images.labelled_images`. The run folder
            keeps them, so that the run can be resumed, evaluated and exported without them.
        test: The test images, named or in memory as ``data``; by default a fifth of the images is held out.
        class_names: The names of the classes of images in memory; by default those of ``data``, or else numbers.
        kind: "classes" to learn the classes of images, "episodes" to learn a few-shot encoder.
        run: The run folder; by default ``runs/DATA-METHOD-BACKBONE``.
        resume: Continue the run in this folder.
        download: Download data that have a name and are missing.
        skip_unreadable: Leave out and count pictures that cannot be read.
        budget: The time in which the run must end, such as "2h", "90m", "45s" or "1h30m": epochs, and peers if nobody
            chose them, are planned for it.
        **options: Options of the command line by name, such as ``method``, ``backbone`` or ``epochs``; groups as
            mappings, such as ``optimizer={"name": "adamw"}``, or with dotted names.

    Returns:
        The finished run.

    Raises:
        UserError: For a wrong option, missing data, or a folder that is in use.
        Interrupted: After Ctrl-C or SIGTERM. A checkpoint was written.
        Diverged: The loss is not finite.
        Failure: A full disk, a killed data worker and the like.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:  # doctest: +ELLIPSIS
        ...     run = train("digits", backbone="resnet8", peers=2, epochs=1, run=f"{folder}/run")
        ...     scores = run.evaluate()
        mcl-okd: 2 x resnet8...
        >>> sorted(scores["leader"])
        ['balanced_accuracy', 'confusion', 'ece', 'per_class', 'top1', 'top5']
    """
    from peerdistill.runs import given_images as memory
    from peerdistill.runs.preprocessing import as_expected, as_started
    from peerdistill.runs.train import train as train_config

    time = None if budget is None else Budget.of(budget)
    test, options = _without_episodes(test, options)
    config, found = _configured(data, test, class_names, run, {"kind": kind, **options})
    if time is not None and not resume:
        config = plannable(config)
    given = None
    if memory.is_given(data):
        config.check()
        if not resume:
            found.require_free()
        prepared = as_started(config, found.config) if resume else as_expected(config)
        given = memory.given_images(data, test, class_names, prepared)
    train_config(
        config,
        found.path,
        resume=resume,
        download=download,
        skip_unreadable=skip_unreadable,
        given=given,
        budget=time,
    )
    return Run(found.path)


def dry_run(
    data: "str | Path | Images",
    *,
    test: "str | Path | Images | Mapping[str, Any] | None" = None,
    class_names: Sequence[str] | None = None,
    kind: KindName = "classes",
    download: bool = False,
    skip_unreadable: bool = False,
    budget: str | None = None,
    **options: Any,
) -> "DryRun":
    """Return what :func:`train` would do with the same arguments, after a few real steps. No run folder is created.

    Args:
        data: What to learn from, as for :func:`train`.
        test: The test images, as for :func:`train`.
        class_names: The names of the classes, as for :func:`train`.
        kind: "classes" or "episodes".
        download: Download data that have a name and are missing.
        skip_unreadable: Leave out and count pictures that cannot be read.
        budget: The time for which epochs and peers are planned, as for :func:`train`.
        **options: Options of the command line by name.

    Returns:
        The data, the networks, their memory, and an estimate of the time on this device.

    Raises:
        UserError: For everything for which training would not start.

    Example:
        >>> found = dry_run("digits", backbone="resnet8", peers=2, epochs=3)
        >>> found.images["test"]["7"], found.steps, found.parameters["leader"]
        (36, 60, 77754)
    """
    from peerdistill.runs import given_images as memory
    from peerdistill.runs.preprocessing import as_expected
    from peerdistill.runs.preview import dry_run as preview

    time = None if budget is None else Budget.of(budget)
    test, options = _without_episodes(test, options)
    config, _ = _configured(data, test, class_names, None, {"kind": kind, **options})
    if time is not None:
        config = plannable(config)
    config.check()
    given = memory.given_images(data, test, class_names, as_expected(config)) if memory.is_given(data) else None
    return preview(config, download=download, skip_unreadable=skip_unreadable, given=given, budget=time)


def _without_episodes(
    test: "str | Path | Images | Mapping[str, Any] | None", options: dict[str, Any]
) -> "tuple[str | Path | Images | None, dict[str, Any]]":
    """Return the test images, and the options with the test episodes of a few-shot run, which have the same name."""
    return (None, {**options, "test": test}) if isinstance(test, Mapping) else (test, options)


def _configured(
    data: "str | Path | Images",
    test: "str | Path | Images | None",
    class_names: Sequence[str] | None,
    run: str | Path | None,
    options: Mapping[str, Any],
) -> tuple[Config, Run]:
    """Return the configuration that the arguments of a call give, and its run."""
    from peerdistill.runs import given_images as memory

    options = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    if memory.is_given(data):
        names = {"data": f"npz:{IMAGES_FILE}"}
    else:
        memory.require_no_memory(data, test=test, class_names=class_names)
        names = {"data": str(data)} | ({} if test is None else {"test": str(test)})
    config = Config.from_dict({**options, **names})
    found = Run(config.default_run if run is None else run)
    if memory.is_given(data):
        config = config.moved(memory.names_of(found, has_test=test is not None))
    return config, found
