"""Memory and open files of a training of hours: measured, drawn, and compared with limits on their growth.

    python benchmarks/soak.py [--minutes 120] [--threads 2] [--json FILE] [--plot FILE]

One process trains on pictures until its time is over, with a data worker, a picture cache, a memory bank, an EMA,
loggers, and a checkpoint and a validation every few seconds. Memory (RSS) and file handles are those of the process and
its workers. The start is left out: caches and the allocator fill then. The rest is cut into parts of equal length,
because successive samples are not independent, and a line is fitted to the means of the parts. The program exits with 1
if the 95 % interval of a slope is not below its limit, or if the training ended by itself.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy import stats

from measuring import MIB, give, header

LIMITS = {"mebibytes": 20.0, "handles": 1.0}
"""Largest growth per hour of what is measured."""

START_SHARE = 0.2
"""Share of the time that is left out as the start."""

PARTS = 12
CONFIDENCE = 0.95
SAMPLES = 1000
_LEAST_SECONDS_BETWEEN = 0.2
_LONGEST_START_SECONDS = 1800.0
_LONGEST_END_SECONDS = 600.0
CLASSES, PICTURES, SIDE = 10, 40, 32

OPTIONS = (
    *("--method", "mcl-okd", "--backbone", "resnet8", "--peers", "2", "--image_size", str(SIDE), "--batch_size", "32"),
    *("--contrast.count", "64", "--ema", "0.99", "--workers", "1", "--loggers", "[tensorboard,csv]"),
    *(
        "--epochs",
        "1000000",
        "--checkpoint_every",
        "5",
        "--device",
        "cpu",
        "--schedule.name",
        "constant",
        "--lr",
        "0.01",
    ),
)


@dataclass(frozen=True)
class Sample:
    """What the training uses at a time after its start."""

    hours: float
    mebibytes: float
    handles: int


@dataclass(frozen=True)
class Growth:
    """Slope of a fitted line per hour, with an interval of 95 %."""

    slope: float
    low: float
    high: float
    limit: float

    @property
    def is_below_limit(self) -> bool:
        """Whether the whole interval is below the limit."""
        return self.high < self.limit


def write_pictures(folder: Path) -> None:
    """Write noise of another brightness for each class."""
    draws = np.random.default_rng(0)
    for number in range(CLASSES):
        (folder / f"class{number}").mkdir(parents=True)
        for name in range(PICTURES):
            pixels = draws.integers(0, 100 + 15 * number, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"class{number}" / f"{name}.png")


def processes_of(pid: int) -> list[Path]:
    """Return the folders in /proc of a process and of those that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{pid}"), *(found for child in children for found in processes_of(int(child)))]


def sample(pid: int, hours: float) -> Sample:
    """Return what a process and its workers use."""
    found = processes_of(pid)
    pages = sum(int((folder / "statm").read_text().split()[1]) for folder in found)
    handles = sum(len(list((folder / "fd").iterdir())) for folder in found)
    return Sample(hours, pages * os.sysconf("SC_PAGE_SIZE") / MIB, handles)


def growth(samples: list[Sample], name: str) -> Growth:
    """Fit a line to the means of parts of what is measured, after the start."""
    hours = np.array([one.hours for one in samples])
    is_later = hours >= START_SHARE * hours[-1]
    values = np.array([getattr(one, name) for one in samples], dtype=float)
    parts = zip(np.array_split(hours[is_later], PARTS), np.array_split(values[is_later], PARTS), strict=True)
    means = np.array([(times.mean(), of_part.mean()) for times, of_part in parts])
    if np.ptp(means[:, 1]) == 0:  # linregress then gives no error of the slope
        return Growth(0.0, 0.0, 0.0, LIMITS[name])
    line = stats.linregress(means[:, 0], means[:, 1])
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, PARTS - 2) * line.stderr)
    return Growth(float(line.slope), float(line.slope) - half, float(line.slope) + half, LIMITS[name])


def measure(minutes: float, threads: int, folder: Path) -> list[Sample]:
    """Train for a time and return what was used meanwhile.

    Raises:
        RuntimeError: The training ended by itself, or did not stop.
    """
    write_pictures(folder / "pictures")
    words = ("train", "pictures", "--run", "run", "--cache", "cache", *OPTIONS)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with (folder / "log").open("w+") as log:
        training = subprocess.Popen(
            [sys.executable, "-m", "peerdistill", *words], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            _wait_for(folder / "run" / "checkpoints" / "last.pt", training)
            samples = _sampled(training, minutes * 60)
            training.send_signal(signal.SIGTERM)
            code = training.wait(_LONGEST_END_SECONDS)
        finally:
            training.kill()
        if code != 128 + signal.SIGTERM:
            log.seek(0)
            raise RuntimeError(f"the training ended with exit code {code}: {log.read()[-2000:]}")
    return samples


def _wait_for(file: Path, training: subprocess.Popen) -> None:
    end = time.monotonic() + _LONGEST_START_SECONDS
    while not file.exists():
        if training.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the training has not written {file.name}")
        time.sleep(0.1)


def _sampled(training: subprocess.Popen, seconds: float) -> list[Sample]:
    start, between = time.monotonic(), max(seconds / SAMPLES, _LEAST_SECONDS_BETWEEN)
    samples: list[Sample] = []
    while training.poll() is None and (now := time.monotonic() - start) < seconds:
        samples.append(sample(training.pid, now / 3600))
        time.sleep(between)
    return samples


def draw(samples: list[Sample], found: dict[str, Growth], file: Path) -> None:
    """Draw what was measured and the fitted lines."""
    names = {"mebibytes": "memory (RSS), MiB", "handles": "file handles"}
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(figsize=(9, 3), layout="constrained", dpi=150)
        hours = np.array([one.hours for one in samples])
        later = hours[hours >= START_SHARE * hours[-1]]
        for axes, (name, label) in zip(figure.subplots(1, 2), names.items(), strict=True):
            values = np.array([getattr(one, name) for one in samples], dtype=float)
            one = found[name]
            middle = values[hours >= START_SHARE * hours[-1]].mean()
            axes.plot(60 * hours, values, lw=0.6, color="#56B4E9")
            axes.plot(60 * later, middle + one.slope * (later - later.mean()), color="#D55E00")
            axes.set(xlabel="minutes", ylabel=label, ylim=(0, 1.15 * values.max()))
            axes.set_title(f"{one.slope:+.2f} per hour (95 %: {one.low:+.2f} to {one.high:+.2f})", fontsize=9)
        figure.savefig(file)


def main() -> None:
    """Measure, write and draw; exit with 1 if something grows."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=120, help="time of the training")
    options.add_argument("--threads", type=int, default=2, help="threads of PyTorch")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures to FILE")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples = measure(chosen.minutes, chosen.threads, Path(folder))
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().count("\n")
    found = {name: growth(samples, name) for name in LIMITS}
    sizes = f"{CLASSES * PICTURES} pictures, peerdistill train {' '.join(OPTIONS)}"
    report = {
        "header": header(sizes, f"{PARTS} parts after the first {START_SHARE:.0%} of the time; per hour")
        | {"threads": chosen.threads},
        "minutes": round(60 * samples[-1].hours, 1),
        "epochs": lines,
        "growth": {name: asdict(one) | {"is_below_limit": one.is_below_limit} for name, one in found.items()},
        "samples": [f"{one.hours:.5f} {one.mebibytes:.2f} {one.handles}" for one in samples],
    }
    give(report, chosen)
    if chosen.plot:
        draw(samples, found, chosen.plot)
    sys.exit(not all(one.is_below_limit for one in found.values()))


if __name__ == "__main__":
    main()
