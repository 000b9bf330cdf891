"""MLflow. Its environment variables choose the server and the experiment (``MLFLOW_TRACKING_URI``)."""

import os
import time

from peerdistill.training.loggers.flat import flattened
from peerdistill.training.loggers.logger import LoggedRun, Logger, LoggerKind
from peerdistill.training.loggers.tracker import PROJECT, TrackerLog, mark_of


def _open(run: LoggedRun) -> Logger:
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
    from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

    client, mark = MlflowClient(), mark_of(run, "mlflow")
    identity = mark.run
    if identity is None:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        known = client.get_experiment_by_name(name)
        experiment = client.create_experiment(name) if known is None else known.experiment_id
        mark.run = identity = client.create_run(experiment, run_name=run.folder.name).info.run_id
        options = flattened(run.config, ".")
        client.log_batch(identity, params=[Param(option, str(value)) for option, value in options.items()])
    else:  # the options stay as they are: MLflow refuses to change one
        client.update_run(identity, status="RUNNING")

    def send(values: dict[str, float], step: int) -> None:
        now = int(1000 * time.time())
        client.log_batch(identity, metrics=[Metric(name, value, now, step) for name, value in values.items()])

    def finish(is_done: bool) -> None:
        client.set_terminated(identity, "FINISHED" if is_done else "KILLED")

    return TrackerLog(send, finish, run, mark)


LOGGER = LoggerKind("mlflow", "MLflow", open=_open, package="mlflow", install="mlflow")
