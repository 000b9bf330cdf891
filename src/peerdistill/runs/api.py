"""Training in one call."""

from pathlib import Path
from typing import Any

from peerdistill.config import Config
from peerdistill.config.kinds import KindName
from peerdistill.paths import user_path
from peerdistill.runs.run import Run


def train(
    data: str | Path,
    *,
    kind: KindName = "classes",
    run: str | Path | None = None,
    resume: bool = False,
    download: bool = False,
    skip_unreadable: bool = False,
    **options: Any,
) -> Run:
    """Train peers and return the run, as ``peerdistill train`` and ``peerdistill fewshot`` do.

    Args:
        data: What to learn from, as DATA on the command line: a name, a folder, ``npz:FILE`` or
            ``package.module:function``.
        kind: "classes" to learn the classes of images, "episodes" to learn a few-shot encoder.
        run: The run folder; by default ``runs/DATA-METHOD-BACKBONE``.
        resume: Continue the run in this folder.
        download: Download data that have a name and are missing.
        skip_unreadable: Leave out and count pictures that cannot be read.
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
    from peerdistill.runs.train import train as train_config

    given = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    config = Config.from_dict({"kind": kind, "data": str(data), **given})
    path = user_path(config.default_run if run is None else run, "run")
    train_config(config, path, resume=resume, download=download, skip_unreadable=skip_unreadable)
    return Run(path)
