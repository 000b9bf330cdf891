import sys
import time

import pytest

from peerdistill.processes import ANOTHER_FAILED
from peerdistill.study.runner.job import Claim, Job, seconds_to_start, threads_of


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Return a function that starts a job whose child is a Python program instead of the command line."""

    def started(program: str, threads: int = 1) -> Job:
        file = tmp_path / "python"
        file.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{program}\n")
        file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(file))
        return Job(["train", "digits"], tmp_path / "logs" / "a.log", threads)

    return started


def ended(job: Job):
    assert job.ends_within(30.0)
    return job.poll()


def test_a_training_that_ends_well_leaves_no_log(start, tmp_path):
    outcome = ended(start("print('epoch 1')"))
    assert (outcome.status, outcome.reason) == ("finished", None)
    assert list((tmp_path / "logs").iterdir()) == []


def test_the_child_gets_the_words_and_its_threads(start, tmp_path):
    ended(start("print(sys.argv[1:], os.environ['OMP_NUM_THREADS']); sys.exit(2)", threads=3))
    assert (tmp_path / "logs/a.log").read_text() == "['-m', 'peerdistill', 'train', 'digits'] 3\n"


def test_the_reason_of_a_failure_is_the_last_sentence_of_the_command_line(start):
    lines = ["epoch 1", "peerdistill: a warning", "peerdistill: the disk is full; resume with: peerdistill train"]
    outcome = ended(start(f"print({chr(10).join(lines)!r}, file=sys.stderr); sys.exit(1)"))
    assert (outcome.status, outcome.reason) == ("failed", "the disk is full")


def test_the_reason_of_a_crash_names_the_exception_and_the_log(start, tmp_path):
    outcome = ended(start("print('peerdistill: a warning'); raise ZeroDivisionError('by zero')"))
    assert outcome.reason == f"exit code 1: ZeroDivisionError: by zero (see {tmp_path}/logs/a.log)"


def test_the_reason_of_a_killed_training_is_its_signal(start):
    assert ended(start("os.kill(os.getpid(), signal.SIGKILL)")).reason.startswith("ended by SIGKILL")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), f"{ANOTHER_FAILED}, so all are ended"),
        (
            ("Traceback (most recent call last):", "ImportError: no torch"),
            "one of its processes failed: ImportError: no torch (see {log})",
        ),
    ],
)
def test_the_reason_of_a_training_that_is_killed_for_another_process(start, tmp_path, lines, reason):
    printed = "\n".join([*lines, f"peerdistill: {ANOTHER_FAILED}, so all are ended"])
    outcome = ended(start(f"print({printed!r}, flush=True); os.kill(os.getpid(), signal.SIGKILL)"))
    assert outcome.reason == reason.format(log=tmp_path / "logs" / "a.log")


def test_a_stopped_training_is_interrupted(start):
    job = start("time.sleep(60)")
    assert job.poll() is None
    job.stop()
    assert ended(job).status == "interrupted"


def test_a_training_that_does_not_stop_is_killed(start):
    job = start("signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)")
    deadline = time.monotonic() + 30
    while not job._log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    job.stop()
    assert not job.ends_within(0.1)
    job.kill()
    assert ended(job).status == "interrupted"


def test_only_one_process_has_a_claim(tmp_path):
    first, second = Claim(tmp_path / "locks/a"), Claim(tmp_path / "locks/a")
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    second.release()
    assert list((tmp_path / "locks").iterdir()) == []


def test_threads_are_those_of_the_environment_or_a_share_of_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads_of(2) == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_of(1) >= threads_of(2) >= threads_of(10**6) == 1


def test_the_start_of_a_process_is_measured(tmp_path, monkeypatch):
    """The child is a program that takes 0.3 seconds, if it has the threads of a training."""
    file = tmp_path / "python"
    file.write_text('#!/bin/sh\ntest "$OMP_NUM_THREADS" = 3 && exec sleep 0.3\n')
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(file))
    assert 0.3 <= seconds_to_start(threads=3) < 10
