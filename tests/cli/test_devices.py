"""Several processes train as one: forked here as ``torchrun`` starts them, and once by ``torchrun`` itself."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
import torch

from peerdistill import cli
from peerdistill.processes import ANOTHER_FAILED
from peerdistill.training import Checkpoints
from support.processes import exit_codes, fork_together

pytestmark = pytest.mark.own_process

TESTS = Path(__file__).parents[1]
WORDS = (
    *("train", "digits", "--backbone", "support.plain_network:network", "--peers", "2", "--epochs", "4"),
    *("--batch_size", "125", "--contrast.count", "64", "--lr", "0.3", "--device", "cpu"),
)


def start(count: int, *words: str, output: Path = Path(os.devnull)) -> list[ForkProcess]:
    def work(_rank: int) -> None:
        sys.stdout = sys.stderr = output.open("a")
        code = cli.main(words)
        sys.stdout.flush()
        os._exit(code)

    return fork_together(count, work)


def epochs(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[int, Path]:
    """The same training by one and by two processes."""
    folder = tmp_path_factory.mktemp("runs")
    for count in (1, 2):
        assert exit_codes(start(count, *WORDS, "--run", str(folder / str(count)))) == [0] * count
    return {count: folder / str(count) for count in (1, 2)}


SHARDED = (*WORDS, "--contrast.shard", "always")


@pytest.fixture(scope="module")
def sharded(tmp_path_factory) -> Path:
    """A training by two processes, each with one shard of the memory banks."""
    folder = tmp_path_factory.mktemp("sharded") / "run"
    assert exit_codes(start(2, *SHARDED, "--run", str(folder))) == [0, 0]
    return folder


def test_two_processes_train_as_one(runs):
    for one, two in zip(epochs(runs[1]), epochs(runs[2]), strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-4)
        assert two["validation"]["samples"] == one["validation"]["samples"] == 143
        assert two["validation"]["leader"]["top1"] == pytest.approx(one["validation"]["leader"]["top1"], abs=0.71)
    first, second = (json.loads((runs[count] / "result.json").read_text())["last"]["test"] for count in (1, 2))
    assert second["samples"] == first["samples"]
    assert second["leader"]["top1"] == pytest.approx(first["leader"]["top1"], abs=0.6)
    banks = [Checkpoints(runs[count] / "checkpoints") for count in (1, 2)]
    one, two = (found.load(found.last) for found in banks)
    for part in ("cohort", "method"):
        for name, value in one[part].items():
            torch.testing.assert_close(two[part][name], value, rtol=1e-2, atol=1e-3)


def test_all_stop_after_the_same_step_when_one_gets_a_signal(runs, tmp_path):
    folder = tmp_path / "stopped"
    workers = start(2, *WORDS, "--run", str(folder))
    until(lambda: (folder / "metrics.jsonl").exists(), workers)
    os.kill(workers[1].pid, signal.SIGTERM)
    assert set(exit_codes(workers)) <= {143, 0}
    assert exit_codes(start(2, *WORDS, "--run", str(folder), "--resume")) == [0, 0]
    assert epochs(folder) == epochs(runs[2])


def test_a_run_without_a_checkpoint_starts_again_from_its_weights_in_all_processes(runs, tmp_path):
    """The initial weights of the method are drawn after those of new classifiers, and must be the same everywhere."""
    words = (
        *WORDS,
        "--weights",
        str(runs[1]),
        "--epochs",
        "1",
        "--subset.per_class",
        "13",
        "--run",
        str(tmp_path / "run"),
    )
    results = []
    for flags in ([], ["--resume"]):
        assert exit_codes(start(2, *words, *flags)) == [0, 0]
        results.append(epochs(tmp_path / "run"))
        shutil.rmtree(tmp_path / "run" / "checkpoints")
        for file in ("metrics.jsonl", "result.json"):
            (tmp_path / "run" / file).unlink()
    assert results[0] == results[1]


def test_all_processes_search_again_for_a_lost_best_epoch(tmp_path):
    """Or one of them would stop early, and the other one would wait for it."""
    folder = tmp_path / "run"
    words = (*WORDS, "--lr", "1e-9", "--patience", "2", "--subset.per_class", "13", "--run", str(folder))
    assert exit_codes(start(2, *words)) == [0, 0]
    assert len(epochs(folder)) == 3
    for file in ("checkpoints/best.pt", "checkpoints/last.pt", "result.json"):
        (folder / file).unlink()
    assert exit_codes(start(2, *words, "--resume")) == [0, 0]
    assert len(epochs(folder)) == 4


def until(happened, workers: list[ForkProcess]) -> None:
    deadline = time.monotonic() + 100
    while not happened():
        assert all(worker.is_alive() for worker in workers)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_error_is_printed_once(tmp_path):
    output = tmp_path / "output.txt"
    words = ("train", f"npz:{tmp_path}/none.npz", "--run", str(tmp_path / "run"))
    assert exit_codes(start(2, *words, output=output)) == [2, 2]
    assert output.read_text().count("peerdistill: ") == 1
    assert not (tmp_path / "run").exists()


def test_devices_must_be_those_of_torchrun(tmp_path):
    output = tmp_path / "output.txt"
    assert exit_codes(start(2, *WORDS, "--devices", "3", "--run", str(tmp_path / "run"), output=output)) == [2, 2]
    assert output.read_text() == (
        "peerdistill: devices is 3, but torchrun has started 2 processes: leave out devices\n"
    )


def test_a_missing_shard_is_named_once_by_the_first_process(sharded, tmp_path):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    shutil.copytree(sharded, folder)
    (lost,) = (folder / "checkpoints").glob("*-shard-2-of-2.shard")
    lost.unlink()
    words = (*SHARDED, "--run", str(folder), "--resume")
    assert exit_codes(start(2, *words, output=output)) == [2, 2]
    assert output.read_text().splitlines() == [
        f"peerdistill: the memory banks of step 40 are incomplete: there is no {lost}. "
        "Those of last.pt and previous.pt are kept"
    ]


def test_the_best_epoch_has_networks_and_no_memory_banks(sharded, tmp_path):
    folder, output = tmp_path / "run", tmp_path / "output.txt"
    shutil.copytree(sharded, folder)
    checkpoints = Checkpoints(folder / "checkpoints")
    step = checkpoints.load(checkpoints.best)["progress"]["step"]
    for file in checkpoints.folder.glob(f"step-{step}-shard-*"):  # the last epoch may be the best one
        file.unlink()

    def run(*words: str) -> list[int | None]:
        return exit_codes(start(1, words[0], str(folder), "--checkpoint", "best", *words[1:], output=output))

    assert run("evaluate") == [0]
    assert run("export", "--format", "safetensors", "--output", str(tmp_path / "leader.safetensors")) == [0]
    assert run("analyse", "--only", "calibration,gradients", "--json") == [0]
    lost = (
        f"memory banks of step {step} are incomplete: there is no {checkpoints.folder}/step-{step}-shard-1-of-2.shard"
    )
    assert f'"does_not_apply": "the {lost}' in output.read_text()
    checkpoints.best.replace(checkpoints.last)
    checkpoints.previous.unlink()
    output.unlink()
    assert exit_codes(start(1, *SHARDED, "--run", str(folder), "--resume", output=output)) == [2]
    assert output.read_text().startswith(f"peerdistill: the {lost}")


def test_a_process_that_fails_before_it_trains_ends_all_with_one_sentence(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import os\nif os.environ.get('LOCAL_RANK') == '1':\n    os._exit(3)\n")
    words = [sys.executable, "-m", "peerdistill", *WORDS, "--devices", "2", "--run", str(tmp_path / "run")]
    done = subprocess.run(words, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == -signal.SIGKILL
    assert done.stderr.splitlines()[-1].startswith(f"peerdistill: {ANOTHER_FAILED}, so all are ended; ")
    assert not (tmp_path / "run").exists()


def environment(*folders: Path) -> dict[str, str]:
    paths = [*map(str, folders), str(TESTS.parent / "src"), str(TESTS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


def test_torchrun_restarts_after_a_kill(sharded, tmp_path):
    folder = tmp_path / "run"
    program = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "--max-restarts=1"]
    words = [*program, "-m", "--", "peerdistill", *SHARDED, "--run", str(folder)]
    agent = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 200
    while not (folder / "metrics.jsonl").exists():
        assert agent.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(first_worker(agent.pid), signal.SIGKILL)
    output, _ = agent.communicate(timeout=300)
    assert agent.returncode == 0, output[-3000:]
    assert epochs(folder) == epochs(sharded)
    assert cli.main(["evaluate", str(folder)]) == 0  # networks need no memory bank


def first_worker(agent: int) -> int:
    """Return the process of rank 0 among the children of ``torchrun``."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        is_child = int(status.read_text().rpartition(")")[2].split()[1]) == agent
        if is_child and b"RANK=0" in (status.parent / "environ").read_bytes().split(b"\0"):
            return int(status.parent.name)
    raise AssertionError("torchrun has no worker of rank 0")
