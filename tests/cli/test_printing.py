"""What leaves the program: nothing from outside controls the terminal, and what can't be written is told."""

import errno
import os
import subprocess
import sys

import pytest
from rich.table import Table

from peerdistill.cli import main, tables
from peerdistill.cli.printing import console
from peerdistill.config import parse

NO_MEMORY = "peerdistill: out of memory: use a smaller batch, smaller images, fewer peers or a smaller network\n"


def test_names_from_outside_are_printed_as_they_are_but_for_what_controls_a_terminal(capsys):
    table = Table("\x1b]0;title\x07", title="runs/[/b] [red]x[/red] :smile:")
    table.add_row("a\x1b[31m\x9bred", "\udcff[/b]")
    console().print(table)
    console().print("b\x1b[2J", soft_wrap=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out.replace("\x1b[0m", "").replace("\x1b[1m", "").replace("\x1b[3m", "")
    assert "\x9b" not in out
    for told in (r"\x1b]0;title", "runs/[/b]", "[red]x[/red] :smile:", r"a\x1b[31m\x9bred", r"\xff[/b]", r"b\x1b[2J"):
        assert told in out.replace("\n", "")


def test_a_bench_of_a_folder_with_markup_in_its_name(capsys):
    form = {"bytes": 1, "milliseconds": {1: 1.0}}
    machine = {
        "int8_instructions": None,
        "packages": {},
        "processor": "[/]",
        "cores": 1,
        "threads": 1,
        "load_average": 0,
    }
    found = {"run": "runs/[/b]", "checkpoint": "last", "epoch": 1, "test": None, "repeats": 1, "machine": machine}
    console().print(tables.leader_bench({**found, "forms": dict.fromkeys(("pytorch", "onnx", "int8"), form)}))
    assert "runs/[/b]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "peerdistill: no space left on device\n"),
        (OSError(errno.ENOSPC, "No space left on device", "a\nb"), 1, "peerdistill: a\\nb: no space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x.yaml"), 2, "peerdistill: x.yaml: permission denied\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", b"\xff"), 2, "peerdistill: \\xff: file name too long\n"),
        (MemoryError(), 1, NO_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 1, NO_MEMORY),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=repr,
)
def test_a_fault_of_the_machine_is_told_in_one_sentence(capsys, monkeypatch, error, code, told):
    def fail(words):
        raise error

    monkeypatch.setattr("peerdistill.cli.commands.methods.run", fail)
    assert main(["methods"]) == code
    assert capsys.readouterr().err == told


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("peerdistill.cli.commands.methods.run", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["methods"])


def test_a_working_directory_that_is_gone_is_told(capsys, monkeypatch, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["train", "digits"]) == 2
    assert "working directory" in capsys.readouterr().err
    os.chdir(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_process_tells_that_its_output_can_t_be_written():
    run = [sys.executable, "-m", "peerdistill", "methods", "dml"]
    how = {"env": {**os.environ, "PYTHONIOENCODING": "ascii"}, "text": True, "stderr": subprocess.PIPE}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(run, stdout=full, **how)
    assert (done.returncode, done.stderr) == (1, "peerdistill: no space left on device\n")
    done = subprocess.run(run, stdout=subprocess.PIPE, **how)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [["digits", "--epochs", "3"], ["digits", "--method=okddip", "--peers=3"]])
def test_the_configuration_that_is_printed_is_one_to_read(capsys, tmp_path, words):
    assert main(["train", *words, "--print_config"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "c.yaml").write_text(text)
    assert parse(["--config", str(tmp_path / "c.yaml")])[0] == parse(words)[0]
    assert "data: digits" in text


def test_a_folder_whose_name_is_not_utf_8_stays_the_same_in_a_configuration(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff\xe4")
    folder.mkdir()
    config, _ = parse([str(folder)])
    (tmp_path / "c.yaml").write_text(config.as_yaml(), encoding="utf-8")
    assert parse([f"--config={tmp_path / 'c.yaml'}"])[0].data.data == str(folder)
