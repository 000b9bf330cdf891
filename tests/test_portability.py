"""The package runs without the modules that only POSIX systems have."""

import subprocess
import sys
import textwrap
from pathlib import Path

from PIL import Image

WITHOUT_POSIX = textwrap.dedent(
    """
    import sys

    for name in ("fcntl", "grp", "pwd", "resource", "termios"):
        sys.modules[name] = None  # to import it is an ImportError

    import importlib
    import os
    import pkgutil
    import signal

    for name in ("O_DIRECTORY", "O_NONBLOCK", "mkfifo", "sched_getaffinity", "sysconf"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGCHLD", "SIGHUP", "pthread_sigmask", "sigwaitinfo"):
        if hasattr(signal, name):
            delattr(signal, name)

    import peerdistill
    from peerdistill.cli import main

    for module in pkgutil.walk_packages(peerdistill.__path__, "peerdistill."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            print(module.name)
    data, *options = sys.argv[1:]
    sys.exit(main(["train", data, *options]) or main(["train", "photos", *options, "--run", "photos-run"]))
    """
)


def test_all_modules_import_and_train_runs_without_posix(tmp_path):
    for number in range(16):
        folder = tmp_path / "photos" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (number, 0, 0)).save(folder / f"{number}.png")
    quick = ("--backbone=resnet8", "--peers=2", "--method=dml", "--epochs=1", "--batch_size=4")
    quick = (*quick, "--image_size=16", "--workers=0", "--cache=cache")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_POSIX, "digits", *quick, "--run", "digits-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package = Path(__file__).parents[1] / "src" / "peerdistill"
    files = [file for file in package.rglob("*.py") if file.name not in ("__init__.py", "__main__.py")]
    imported = set(done.stdout.split())
    for file in files:
        assert ".".join(("peerdistill", *file.relative_to(package).with_suffix("").parts)) in imported
    for run in ("digits-run", "photos-run"):
        assert (tmp_path / run / "result.json").is_file()
    assert list((tmp_path / "cache").glob("*/pixels"))
