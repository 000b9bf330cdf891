"""Names of the files of a very large data set: time and memory at the start, and memory that a data worker copies.

    python benchmarks/many_files.py [--json FILE]

Needs only the package, PyTorch and Linux, 12 GB of memory and a few minutes. The lists are made up: there are no
pictures. Each figure is from a process of its own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from measuring import MIB, give, header, memory_mark, parser
from peerdistill.data.layout import find_splits
from peerdistill.data.packed_names import PackedNames
from peerdistill.data.pictures import divide

SIZES = {"ImageNet-1k": (1_281_167, 1000), "ImageNet-22k": (14_197_122, 21_841)}
"""Files and classes."""
WAYS: dict[str, Callable[[Iterator[str]], Sequence[str]]] = {"tuple": tuple, "packed": PackedNames}
FOLDER = "/data/imagenet/train"


def made_up(files: int, classes: int) -> Iterator[str]:
    """Yield paths such as those of ImageNet below its training folder, class by class."""
    for number in range(files):
        class_name = f"n{number * classes // files:08}"
        yield f"{class_name}/{class_name}_{number}.JPEG"


def private_dirty() -> int:
    """Return the bytes of memory that belong to this process alone."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_Dirty"))


def names(way: str, size: str) -> dict[str, float]:
    """Return seconds to store the names and their memory, and what a forked process copies that reads each once."""
    before, started = private_dirty(), time.perf_counter()
    paths = WAYS[way](f"{FOLDER}/{name}" for name in made_up(*SIZES[size]))
    stored = time.perf_counter() - started
    return {"seconds": stored, "mib": (private_dirty() - before) / MIB, "copied_mib": _copied(paths) / MIB}


def _copied(paths: Sequence[str]) -> int:
    reading, writing = os.pipe()
    if os.fork() == 0:
        before = private_dirty()
        for row in range(len(paths)):
            paths[row]
        os.write(writing, str(private_dirty() - before).encode())
        os._exit(0)
    os.wait()
    return int(os.read(reading, 100))


def start(size: str) -> dict[str, float]:
    """Return seconds and peak memory to find classes and splits among the paths of a folder, and to label them."""
    listed = [f"train/{name}" for name in made_up(*SIZES[size])]
    before, started = memory_mark(), time.perf_counter()
    splits = divide(find_splits(listed, "imagenet").splits, validation=0.0)
    del listed
    kept = {name: (PackedNames(part.files, FOLDER), part.labels()) for name, part in splits.items() if part.files}
    assert sum(len(paths) for paths, _ in kept.values()) == SIZES[size][0]
    return {"seconds": time.perf_counter() - started, "listing_mib": before / MIB, "peak_mib": memory_mark() / MIB}


def in_a_fresh_process(what: str, size: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--what", what, "--size", size]
    return json.loads(subprocess.check_output(command, text=True))


def measure() -> dict:
    rows = []
    for size, (files, _) in SIZES.items():
        found = {way: in_a_fresh_process(way, size) for way in WAYS}
        rows.append({"data": size, "files": files, **found, "start": in_a_fresh_process("start", size)})
    sizes = f"paths such as {FOLDER}/{next(made_up(10, 10))}"
    method = "a fresh process for each figure; copied: by a forked process that reads every name once"
    return {"header": header(sizes, method), "names": rows}


def main() -> None:
    options_of = parser("Names of the files of a very large data set.")
    options_of.add_argument("--what", choices=[*WAYS, "start"], help="measure only this, here")
    options_of.add_argument("--size", choices=SIZES, default="ImageNet-1k", help="with --what: of which data")
    options = options_of.parse_args()
    if options.what is None:
        give(measure(), options)
    else:
        found = start(options.size) if options.what == "start" else names(options.what, options.size)
        print(json.dumps(found))


if __name__ == "__main__":
    main()
