"""Weights & Biases, MLflow and Trackio in offline mode: a run that is stopped and resumed, read from their files.

Trackio is not among the packages of the tests, because its dependencies exclude the tested versions of others.
"""

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peerdistill.training import LoggedRun
from peerdistill.training.loggers import close_loggers, open_loggers
from support.logged import LOSS, reading, record

pytestmark = pytest.mark.own_process

CONFIG = {"method": "dml", "lr": 0.05, "optimizer": {"name": "sgd"}, "teacher": None}
RESULT = {"method": "dml", "parameters": {"leader": 7}, "last": {"epoch": 3, "test": {"leader": {"top1": 50.0}}}}

Points = dict[str, list[tuple[int, float]]]


def wandb_files(folder: Path) -> tuple[Points, list[dict], set[str]]:
    """Read the histories of all parts of a run, in the record format of LevelDB's logs: blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2 as wire  # pyright: ignore[reportMissingImports]

    points: Points = {}
    configs, identities = [], set()
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns):
        for data in leveldb_records(file.read_bytes()):
            message = wire.Record.FromString(data)
            if message.WhichOneof("record_type") == "run":
                identities.add((message.run.run_id, message.run.project, message.run.display_name))
                configs.append({item.key: json.loads(item.value_json) for item in message.run.config.update})
            for item in message.history.item:
                name = item.key or "/".join(item.nested_key)
                if not name.startswith("_"):
                    points.setdefault(name, []).append((message.history.step.num, json.loads(item.value_json)))
    return points, configs, identities


def leveldb_records(data: bytes) -> Iterator[bytes]:
    block, place, whole = 2**15, 7, b""  # the file starts with 7 bytes of its own
    while place < len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield whole
            whole = b""


def mlflow_files(folder: Path) -> tuple[Points, list[dict], set[str]]:
    del folder
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]

    client = MlflowClient()
    (experiment,) = client.search_experiments(filter_string="name = 'peerdistill'")
    (run,) = client.search_runs([experiment.experiment_id])
    points = {}
    for name in run.data.metrics:
        points[name] = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
    return points, [run.data.params], {(run.info.run_id, experiment.name, run.info.run_name)}


def trackio_files(folder: Path) -> tuple[Points, list[dict], set[str]]:
    del folder
    from trackio.utils import TRACKIO_DIR  # pyright: ignore[reportMissingImports]

    points: Points = {}
    identities = set()
    database = sqlite3.connect(Path(TRACKIO_DIR) / "peerdistill.db")
    for name, step, text in database.execute("select run_name, step, metrics from metrics order by id"):
        identities.add((name, "peerdistill", name.rpartition("-")[0]))
        for metric, value in json.loads(text).items():
            points.setdefault(metric, []).append((step, value))
    configs = [json.loads(text) for (text,) in database.execute("select config from configs")]
    return points, configs, identities


TRACKERS: dict[str, tuple[Callable, dict[str, str]]] = {
    "wandb": (wandb_files, {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}),
    "mlflow": (mlflow_files, {"MLFLOW_TRACKING_URI": "{folder}/mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"}),
    "trackio": (trackio_files, {"TRACKIO_DIR": "tracked"}),
}


@pytest.fixture(params=TRACKERS)
def tracker(request, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    for variable, value in TRACKERS[request.param][1].items():
        monkeypatch.setenv(variable, value.format(folder=tmp_path))
    library = pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    getattr(library, "teardown", lambda: None)()  # wandb reads its variables once in a process
    return request.param


def log(tracker: str, folder: Path, *, done: int, steps: range, finished: bool) -> None:
    """Log readings of every step, the end of every second one as an epoch, and in the end the result."""
    (logger,) = loggers = open_loggers([tracker], LoggedRun(folder, CONFIG, step=done))
    for step in steps:
        logger.advance(step)
        logger.step(reading(step))
        if step % 2 == 0:
            logger.epoch(record(step // 2, step))
    if finished:
        logger.result(RESULT)
    close_loggers(loggers)


def test_a_resumed_run_is_one_run_with_every_step_once(tracker, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    log(tracker, folder, done=0, steps=range(1, 6), finished=False)  # killed in epoch 3, the checkpoint is of epoch 1
    log(tracker, folder, done=2, steps=range(3, 7), finished=True)
    log(tracker, folder, done=6, steps=range(0), finished=True)  # resumed after its end
    assert capsys.readouterr().out == ""

    points, configs, identities = TRACKERS[tracker][0](tmp_path)
    ((_, project, name),) = identities
    assert (project, name) == ("peerdistill", "mine")
    assert points["loss/total"] == [(step, LOSS["total"]) for step in range(1, 7)]
    assert points["lr"] == [(step, pytest.approx(0.05 / step)) for step in range(1, 7)]
    assert points["epoch"] == [(2, 1), (4, 2), (6, 3)]
    assert points["validation/leader/top1"] == [(step, pytest.approx(81.256)) for step in (2, 4, 6)]
    assert points["epoch_loss/contrast"] == [(step, LOSS["contrast"]) for step in (2, 4, 6)]
    assert points["final/last/test/leader/top1"] == [(6, 50.0)]
    assert points["final/parameters/leader"] == [(6, 7)]
    logged = next(config for config in configs if config)
    assert str(logged["lr"]) == "0.05"
    assert logged.get("optimizer.name", logged.get("optimizer")) in ("sgd", {"name": "sgd"})
