"""Output: names cannot control the terminal, and errors are one sentence."""

import errno
import os
import subprocess
import sys
import warnings

import pytest
import torch
from rich.table import Table

from peerdistill.cli import main
from peerdistill.cli.printing import console
from peerdistill.config import parse
from peerdistill.errors import PeerdistillWarning

NO_MEMORY = "peerdistill: out of memory: use a smaller batch, smaller images, fewer peers or a smaller network\n"


def test_names_are_printed_literally_with_control_characters_escaped(capsys):
    table = Table("\x1b]0;title\x07", title="runs/[/b] [red]x[/red] :smile:")
    table.add_row("a\x1b[31m\x9bred", "\udcff[/b]")
    console().print(table)
    console().print("b\x1b[2J", soft_wrap=True)
    out = capsys.readouterr().out
    assert "\x1b" not in out.replace("\x1b[0m", "").replace("\x1b[1m", "").replace("\x1b[3m", "")
    assert "\x9b" not in out
    for text in (
        r"\x1b]0;title",
        "runs/[/b]",
        "[red]x[/red] :smile:",
        r"a\x1b[31m\x9bred",
        r"\xff[/b]",
        r"b\x1b[2J",
    ):
        assert text in out.replace("\n", "")


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 1, "peerdistill: no space left on device\n"),
        (OSError(errno.ENOSPC, "No space left on device", "a\nb"), 1, "peerdistill: a\\nb: no space left on device\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x.yaml"), 2, "peerdistill: x.yaml: permission denied\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", b"\xff"), 2, "peerdistill: \\xff: file name too long\n"),
        (MemoryError(), 1, NO_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), 1, NO_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), 1, NO_MEMORY),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=repr,
)
def test_an_error_of_the_system_is_one_sentence(capsys, monkeypatch, error, code, sentence):
    def fail(words):
        raise error

    monkeypatch.setattr("peerdistill.cli.commands.methods.run", fail)
    assert main(["methods"]) == code
    assert capsys.readouterr().err == sentence


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr("peerdistill.cli.commands.methods.run", lambda words: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["methods"])


def test_a_deleted_working_directory_is_reported(capsys, monkeypatch, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert main(["train", "digits"]) == 2
    assert "working directory" in capsys.readouterr().err
    os.chdir(tmp_path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_process_reports_that_its_output_cannot_be_written():
    run = [sys.executable, "-m", "peerdistill", "methods", "dml"]
    how = {"env": {**os.environ, "PYTHONIOENCODING": "ascii"}, "text": True, "stderr": subprocess.PIPE}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(run, stdout=full, **how)
    assert (done.returncode, done.stderr) == (1, "peerdistill: no space left on device\n")
    done = subprocess.run(run, stdout=subprocess.PIPE, **how)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_table_whose_reader_has_gone_ends_as_by_sigpipe():
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:  # noqa: PTH123
        run = [sys.executable, "-m", "peerdistill", "methods"]
        done = subprocess.run(run, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("words", [["digits", "--epochs", "3"], ["digits", "--method=okddip", "--peers=3"]])
def test_a_printed_configuration_can_be_read(capsys, tmp_path, words):
    assert main(["train", *words, "--print_config"]) == 0
    text = capsys.readouterr().out
    (tmp_path / "c.yaml").write_text(text)
    assert parse(["--config", str(tmp_path / "c.yaml")])[0] == parse(words)[0]
    assert "data: digits" in text


def test_a_folder_name_that_is_not_utf_8_survives_in_a_configuration(tmp_path):
    folder = tmp_path / os.fsdecode(b"\xff\xe4")
    folder.mkdir()
    config, _ = parse([str(folder)])
    (tmp_path / "c.yaml").write_text(config.as_yaml(), encoding="utf-8")
    assert parse([f"--config={tmp_path / 'c.yaml'}"])[0].data.data == str(folder)


def test_own_warnings_are_printed_as_sentences_and_others_as_python_does(monkeypatch, capsys):
    def warn(words):
        warnings.warn("be careful", stacklevel=1)
        warnings.warn("take note", PeerdistillWarning, stacklevel=1)
        return 0

    shown = []
    monkeypatch.setattr(
        warnings, "showwarning", lambda message, category, *where: shown.append((category, str(message)))
    )
    monkeypatch.setattr("peerdistill.cli.commands.methods.run", warn)
    assert main(["methods"]) == 0
    assert shown == [(UserWarning, "be careful")]
    assert capsys.readouterr().err == "peerdistill: take note\n"


@pytest.mark.parametrize(
    ("words", "unused"),
    [
        ("train digits --min_scale=0.5 --flip false", "min_scale"),
        ("fewshot cifar-fs --image_size 32 --flip false", "image_size"),
        ("fewshot miniimagenet --image_size 32", None),
    ],
)
def test_an_option_that_changes_nothing_is_told(capsys, words, unused):
    command, data, *options = words.split()
    assert main([command, data, *options, "--print_config"]) == 0
    said = "" if unused is None else f"peerdistill: --{unused} changes nothing for data '{data}'\n"
    assert capsys.readouterr().err == said
