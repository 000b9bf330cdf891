"""Give every reader of outside input thousands of broken inputs, and see that each is read or told in one sentence.

    python tests/fuzz/campaign.py --inputs 20000 --seed 0

An input is a valid one with a few changes: bytes flipped, cut out, doubled or replaced by tokens that the format knows,
or words, numbers and fields replaced by hostile ones. It may be read, or refused by a ``UserError`` of one line. Every
other exception, a slow answer, much memory, memory that grows from input to input, and a file that is left behind is a
fault. Faults are written, with what caused them, to the folder ``--faults``.
"""

import argparse
import contextlib
import copy
import io
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

SECONDS = 10.0
MEGABYTES = 600
LONGEST_SENTENCE = 1000
LARGEST_GROWTH = 1.0
"""Most KiB by which the memory of this process may grow with each input, after the first fifth of them."""

_LEAST_INPUTS_OF_GROWTH = 2000
_MEMORY_SAMPLES = 200

Read = Callable[[Path, Any], None]


@dataclass(frozen=True)
class Reader:
    """A reader of outside input.

    Attributes:
        make: Makes one input of a generator of random numbers.
        read: Reads an input, in a folder of its own.
    """

    make: Callable[[random.Random], Any]
    read: Read


@dataclass
class Tally:
    """What came of a reader's inputs."""

    inputs: int = 0
    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)

    @property
    def growth(self) -> tuple[float, float]:
        """Growth of memory in KiB per input after the first fifth of the inputs, and half its interval of 95 %.

        Samples that follow each other are not independent: the line is fitted to the means of ten parts.
        """
        from scipy import stats

        parts = np.array_split(np.array(self.memory[len(self.memory) // 5 :]), 10)
        means = np.array([part.mean(0) for part in parts])
        if np.ptp(means[:, 1]) == 0:  # linregress then gives no error of the slope
            return 0.0, 0.0
        line = stats.linregress(means[:, 0], means[:, 1])
        return float(line.slope), float(stats.t.ppf(0.975, len(parts) - 2) * line.stderr)


class TooSlow(BaseException):  # no Exception: a reader must not be able to take it for one of its library
    """An input took too long."""


# Changes of bytes

TOKENS = (
    b"\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x7f", b"\x80", b"\n", b"'", b'"', b"\\", b"-1", b"0",
    b"nan", b"inf", b"9" * 30, b"9" * 5000, b"[" * 60, b"{" * 60, b"(" * 60, b"../", b"/", b"\x1b[31m",
    b"\xc3\x28", b"\xed\xa0\x80", b"",
)  # fmt: skip


def changed(rng: random.Random, data: bytes, tokens: tuple[bytes, ...] = ()) -> bytes:
    """Return ``data`` after a few changes."""
    data = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5, 9))):
        _change(rng, data, tokens + TOKENS)
    return bytes(data)


def _change(rng: random.Random, data: bytearray, tokens: tuple[bytes, ...]) -> None:
    place = rng.randrange(len(data) + 1)
    length = rng.choice((1, 1, 2, 4, 8, 32, 256))
    kind = rng.randrange(7)
    if kind == 0 and data:
        data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:
        data[min(place, len(data) - 1)] = rng.randrange(256)
    elif kind == 2:
        del data[place : place + length]
    elif kind == 3:
        data[place:place] = data[place : place + length]
    elif kind == 4:
        data[place : place + rng.choice((0, length))] = rng.choice(tokens)
    elif kind == 5:
        del data[place:]
    else:
        other = rng.randrange(len(data) + 1)
        data[place : place + length] = data[other : other + length]


def of_bytes(valid: Callable[[], list[bytes]], *tokens: bytes) -> Callable[[random.Random], bytes]:
    """Return what makes inputs out of valid files."""
    made: list[bytes] = []

    def make(rng: random.Random) -> bytes:
        if not made:
            made.extend(valid())
        if rng.random() < 0.02:
            return rng.randbytes(rng.randrange(300))
        return changed(rng, rng.choice(made), tokens)

    return make


# Valid files


def _file(write: Callable[[Any], None]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def _pixels(size: int = 8, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, (size, size, channels), dtype=np.uint8)


def _pictures() -> list[bytes]:
    picture = Image.fromarray(_pixels(12))
    grey = Image.fromarray(np.arange(144, dtype=np.uint16).reshape(12, 12) * 400)
    palette, exif = picture.convert("P"), Image.Exif()
    exif[0x0112] = 6
    forms: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (picture, "png", {}), (grey, "png", {}), (palette, "png", {"transparency": 3}), (picture, "jpeg", {}),
        (picture, "jpeg", {"exif": exif, "progressive": True}), (palette, "gif", {}), (picture, "bmp", {}),
        (picture, "tiff", {}), (picture, "tiff", {"compression": "tiff_lzw"}), (picture, "webp", {}),
        (picture, "ppm", {}),
    ]  # fmt: skip
    return [_file(lambda file, form=form: form[0].save(file, form[1], **form[2])) for form in forms]


def _arrays() -> list[bytes]:
    images, labels = _pixels(8)[None].repeat(8, 0), np.arange(8) % 4
    names = np.array(list("abcd"))
    kinds = [(np.savez, names), (np.savez_compressed, names.astype("S")), (np.savez, names.astype(object))]
    return [
        _file(lambda file, save=save, named=named: save(file, images=images, labels=labels, class_names=named))
        for save, named in kinds
    ]


def _zips() -> list[bytes]:
    return [_file(lambda file, how=how: _write_zip(file, *how)) for how in ((8, ""), (0, "top/"), (8, "train/"))]


def _write_zip(file: Any, compression: int, prefix: str) -> None:
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name in "abcd":
            for number in range(2):
                picture = _file(lambda stream: Image.fromarray(_pixels(8)).save(stream, "png"))
                archive.writestr(f"{prefix}{name}/{number}.png", picture)


def _checkpoints() -> list[bytes]:
    import torch

    with tempfile.TemporaryDirectory() as folder:
        checkpoints = _checkpoints_of(Path(folder))
        checkpoints.save({"cohort": {"w": torch.arange(6.0)}, "notes": {"a": [1, "b"]}, "progress": {"epoch": 1}})
        return [checkpoints.last.read_bytes()]


def _checkpoints_of(folder: Path) -> Any:
    from peerdistill.training import Checkpoints

    return Checkpoints(folder)


def _configurations() -> list[bytes]:
    from peerdistill.config import parse

    words = (["digits"], ["digits", "--method=okddip", "--peers=3"], ["digits", "--method=baseline", "--sharing=tree"])
    return [parse(list(line))[0].as_yaml().encode() for line in words]


def _class_weights() -> list[bytes]:
    return [b"class,weight\ncat,2\n'a, b',0.5\n", b"cat: 2\nno: .5\n'a, b': 3e0\n", b'{"cat": 2, "1": 1.5}']


def _records() -> list[bytes]:
    from peerdistill.study.record import CellRecord, Record

    figures = {"error": {"leader": 31.25, "mean peer": 32.0, "ensemble": None}}
    cell = CellRecord("a-s0", {"dataset": "a"}, "classes", "method", 0, "finished", epochs=2, seconds=1.5, last=figures)
    record = Record("table2", "smoke", {"a": "smoke: 2 of 300 epochs"}, (cell,), written="2026-01-01T00:00:00+00:00")
    return [json.dumps(record.as_dict()).encode(), json.dumps(record.as_dict(), indent=1).encode()]


def _lists() -> list[bytes]:
    rows = [f"{name}{number}.png,{name}" for name in "abcd" for number in range(2)]
    return [
        "\n".join(["filename,label", *rows]).encode(),
        "\r\n".join(["filename,label", *rows, ""]).encode("utf-8-sig"),
    ]


# Hostile values

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 5, 2**31, 2**32, 2**63, 2**64, 10**30, -(10**30), 0.0, 0.5, 1.0, 1.5,
    -0.5, 1e-9, 1e9, 1e300, math.nan, math.inf, -math.inf, "", " ", "a", "nan", "null", "~", "~nobody/x",
    "digits", "sgd", "network", [], [1], [1, 2, 4, 4], ["resnet20"], [None], {}, {"name": "sgd"}, "\x1b[31m",
    "a\nb", "\0", "ä", "\udcff", "1:30", "2024-01-01", "0x10", "x" * 5000, "[/b]", "{", "'", '"', "/dev/null",
    "..",
)  # fmt: skip


_STUDY = {
    "datasets": {"digits": {"data": "digits", "size": {"classes": 10}}},
    "seeds": [0, 1],
    "options": {"epochs": 2, "optimizer": {"name": "sgd"}},
    "axes": {
        "method": {"ours": {"method": "mcl-okd", "beta": 1}, "theirs": {"method": "kd", "teacher": {"seed_offset": 1}}}
    },
    "sweep": {"lr": [0.1, 0.2]},
    "parts": [{"options": {"peers": 2}, "axes": {"network": {"small": {"backbone": "resnet8"}}}}],
    "baseline": {"method": "ours"},
    "figure": {"x": "lr", "series": ["method"]},
    "scales": {"smoke": {"digits": {"epochs": {2: 1}}}},
}


def _study(rng: random.Random) -> dict[str, Any]:
    """Return a study with one or two hostile values, anywhere in it."""
    study = copy.deepcopy(_STUDY)
    for _ in range(rng.choice((1, 1, 2))):
        place: Any = study
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            inside = place[key]
            if not isinstance(inside, dict | list) or not inside or rng.random() < 0.3:
                break
            place = inside
        place[key] = rng.choice(VALUES)
        if isinstance(place, dict) and rng.random() < 0.2:
            place[rng.choice([name for name in VALUES if isinstance(name, str | int)])] = place.pop(key)
    return study


def _recipe(rng: random.Random) -> dict[str, Any]:
    """Return options, most of them of a valid configuration, with a few hostile values."""
    if not _RECIPES:
        _RECIPES.extend(yaml.safe_load(content) for content in _configurations())
    options = dict(rng.choice(_RECIPES))
    for name in rng.sample(sorted(options), rng.choice((1, 1, 2, 3))):
        if isinstance(options[name], dict) and rng.random() < 0.8:
            group = dict(options[name])
            group[rng.choice([*group, "more"])] = rng.choice(VALUES)
            options[name] = group
        else:
            options[name] = rng.choice(VALUES)
    if rng.random() < 0.1:
        options[str(rng.choice(VALUES))] = rng.choice(VALUES)
    return options


_RECIPES: list[dict[str, Any]] = []


def _card(rng: random.Random) -> dict[str, str]:
    from peerdistill.deploy import LeaderCard

    card = LeaderCard("resnet20", ("a", "b", "c"), 32, 3, (0.5,) * 3, (0.2,) * 3, 1.0).to_metadata()
    for key in rng.sample(sorted(card), rng.choice((0, 1, 1, 2, 3))):
        kind = rng.randrange(4)
        if kind == 0:
            del card[key]
        elif kind == 1:
            card[key] = changed(rng, card[key].encode()).decode("utf-8", "surrogateescape")
        elif kind == 2:
            card[key] = json.dumps(rng.choice(VALUES))
        else:
            card[key] = json.dumps([rng.choice(VALUES) for _ in range(rng.choice((1, 2, 3, 4)))])
    return card


def _line(rng: random.Random) -> list[str]:
    """Return the words of a command line."""
    words = list(rng.choice(_LINES))
    for _ in range(rng.choice((0, 1, 1, 2, 3))):
        place = rng.randrange(len(words) + 1)
        kind = rng.randrange(6)
        value = rng.choice(_WORDS)
        if kind == 0:
            words.insert(place, value)
        elif kind == 1 and len(words) > 1:
            words[max(1, min(place, len(words) - 1))] = value
        elif kind == 2:
            words.append(f"--{rng.choice(_NAMES)}={value}")
        elif kind == 3:
            words += [f"--{rng.choice(_NAMES)}", value]
        elif kind == 4 and len(words) > 1:
            del words[max(1, min(place, len(words) - 1))]
        else:
            at = max(1, min(place, len(words) - 1)) if len(words) > 1 else 0
            words[at] = changed(rng, words[at].encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return words


_LINES = (
    ["train", "digits", "--epochs", "3", "--lr=0.1"],
    ["train", "digits", "--method", "okddip", "--peers", "3", "--ramp", "2"],
    ["train", "digits", "--optimizer", "{name: adam, momentum: 0.5}", "--sharing", "[1, 2, 4, 4]"],
    ["train", "digits", "--peer_backbones", "[resnet20]", "--peers", "2", "--sharing", "network", "--contrast.width=8"],
    ["fewshot", "omniglot", "--ways", "5", "--validation.ways=3", "--root", "data"],
    ["evaluate", "no-such-run", "--split", "val", "--ways", "3"],
    ["compare", "no-run", "no-other-run", "--protocol", "paper"],
    ["export", "no-such-run", "--format", "onnx", "--output", "x.onnx"],
    ["bench", "no-such-run", "--repeats", "3"],
    ["predict", "no-model.onnx", "no-picture.png", "--top", "2"],
    ["methods", "mcl-okd"],
)
_NAMES = (
    "epochs", "lr", "seed", "config", "run", "data", "method", "recipe", "optimizer", "optimizer.momentum",
    "contrast", "contrast.count", "sharing", "peer_backbones", "peers", "beta", "flip", "pretrained", "resume",
    "json", "help", "top", "support", "output", "teacher", "weights", "cache", "root", "workers", "x", "",
    "sharing+", "device", "precision", "mixup", "print_config", "share_until", "backbone",
    "mean", "std", "crop", "interpolation", "image_size",
)  # fmt: skip
_WORDS = (
    "", " ", "-", "--", "---", "'", '"', "it's", "!!timestamp abc", "!!int abc",
    "!!python/object/apply:os.getcwd []", "&a [*a]", "*a", "1:30", "1:30:00", "2024-99-99", "2024-01-01", "0o7",
    "0x1f", "010", "1_000", "1e400", "-1", ".nan", "nan", ".inf", "9" * 400, "9" * 5000, "[" * 10000,
    "{" * 3000, "[1, 2", "{a: 1", "{a: 1}", "{name: sgd, name: adam}", "{1: 2}", "[null]", "null", "~",
    "~nobody/x", "~/x", "true", "yes", "a\nb", "a\0b", "\x1b[31m", "\udcff", "ä", "[/b]", "%s", "x" * 5000,
    "digits", "=", "a=b", "--epochs", "--help", ".", "..", "/", "/dev/null", "/dev/zero", "npz:", "npz:,",
    "npz:/dev/zero", "npz:" + "x" * 300, "timm:", "torchvision:", "a:b", "os:system", ":",
)  # fmt: skip


# Readers


def _read_words(folder: Path, words: list[str]) -> None:
    from peerdistill.cli import main
    from peerdistill.config import parse
    from peerdistill.config.kinds import KINDS
    from peerdistill.runs import Run

    if words and words[0] in ("train", "fewshot") and not {"-h", "--help"} & set(words):
        config, flags = parse(words[1:], {kind.command: kind for kind in KINDS.values()}[words[0]])
        config.check()
        Run(config.default_run if flags.run is None else flags.run).require_free()
        return
    if words and words[0] == "demo":
        return
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    _check_told(code, err.getvalue())


def _check_told(code: int, told: str) -> None:
    from peerdistill.errors import UserError

    if code == 2:
        assert told.startswith("peerdistill: "), f"exit code 2 without a sentence: {told[:200]!r}"
        raise UserError(told.removeprefix("peerdistill: ").removesuffix("\n"))
    assert code == 0, f"exit code {code}: {told[:200]!r}"


def _read_class_weights(folder: Path, content: bytes) -> None:
    from peerdistill.config.class_weights import read_class_weights
    from peerdistill.config.options import LossConfig

    file = folder / ("a.csv" if b"weight" in content else "a.yaml")
    file.write_bytes(content)
    LossConfig(class_weights=dict(read_class_weights(file))).check()


def _read_record(folder: Path, content: bytes) -> None:
    from peerdistill.study.record import RESULTS_FILE, Record

    file = folder / RESULTS_FILE
    file.write_bytes(content)
    try:
        found = Record.read(folder)
    finally:
        file.unlink()
    assert found is not None
    found.merged(found).as_dict()


def _read_yaml(folder: Path, content: bytes) -> None:
    from peerdistill.config import read_config

    (folder / "a.yaml").write_bytes(content)
    read_config(folder / "a.yaml").check()


def _read_recipe(folder: Path, options: dict[str, Any]) -> None:
    from peerdistill.config import parse

    with contextlib.suppress(UnicodeEncodeError):  # a file can't hold what is no text
        (folder / "a.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    config, _ = parse([f"--config={folder / 'a.yaml'}"])
    config.check()


def _read_study(folder: Path, study: dict[str, Any]) -> None:
    from peerdistill.study.plan import load_study

    with contextlib.suppress(UnicodeEncodeError):
        (folder / "a.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    for cell in load_study(str(folder / "a.yaml"), scale="smoke").cells[:3]:
        assert cell.name == Path(cell.name).name


def _read_npz(folder: Path, content: bytes) -> None:
    from peerdistill.data.npz import load_npz

    (folder / "a.npz").write_bytes(content)
    load_npz([folder / "a.npz"], None, 0.1)


def _read_few_shot(data: Path) -> None:
    from peerdistill.fewshot.config import FewShotData
    from peerdistill.fewshot.load import load_few_shot

    load_few_shot(FewShotData(str(data), image_size=8))


def _read_zip(folder: Path, content: bytes) -> None:
    (folder / "a.zip").write_bytes(content)
    _read_few_shot(folder / "a.zip")


def _read_csv(folder: Path, content: bytes) -> None:
    (folder / "images").mkdir()
    picture = _file(lambda stream: Image.fromarray(_pixels(8)).save(stream, "png"))
    for name in "abcdefgh":
        for number in range(2):
            (folder / "images" / f"{name}{number}.png").write_bytes(picture)
    for split, names in (("val", "ef"), ("test", "gh")):
        rows = "".join(f"{name}{number}.png,{name}\n" for name in names for number in range(2))
        (folder / f"{split}.csv").write_text(f"filename,label\n{rows}")
    (folder / "train.csv").write_bytes(content)
    _read_few_shot(folder)


def _read_picture(folder: Path, content: bytes) -> None:
    from peerdistill.data.images.decode import open_picture
    from peerdistill.data.images.preprocess import fit

    (folder / "a.png").write_bytes(content)
    fit(open_picture(folder / "a.png"), 8, 3, 1.0)


def _read_card(folder: Path, metadata: dict[str, str]) -> None:
    from peerdistill.deploy import LeaderCard

    LeaderCard.from_metadata(metadata, folder / "a.onnx")


def _read_checkpoint(folder: Path, content: bytes) -> None:
    checkpoints = _checkpoints_of(folder)
    checkpoints.last.write_bytes(content)
    checkpoints.load_last()


READERS: dict[str, Reader] = {
    "words": Reader(_line, _read_words),
    "yaml": Reader(of_bytes(_configurations, b"&a ", b"*a", b"!!int ", b": ", b"- ", b"---\n", b"1:30"), _read_yaml),
    "recipe": Reader(_recipe, _read_recipe),
    "study": Reader(_study, _read_study),
    "record": Reader(
        of_bytes(_records, b"NaN", b"[", b"{", b"1e999", b"null", b'"cells": []', b"\\ud800"), _read_record
    ),
    "csv": Reader(of_bytes(_lists, b",", b"\xfe\xff", b"/dev/zero,a", b"../a0.png", b"label", b"\xe4"), _read_csv),
    "class weights": Reader(of_bytes(_class_weights, b",", b": ", b"&a ", b"*a", b"\xe4"), _read_class_weights),
    "npz": Reader(of_bytes(_arrays, b"'shape': (9999999999, 9)", b"|O", b"PK\1\2", b"PK\5\6"), _read_npz),
    "zip": Reader(of_bytes(_zips, b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6", b".png", b"/"), _read_zip),
    "picture": Reader(of_bytes(_pictures, b"IHDR", b"IDAT", b"tEXt", b"\xff\xd8", b"II*\0"), _read_picture),
    "card": Reader(_card, _read_card),
    "checkpoint": Reader(of_bytes(_checkpoints, b"PK\1\2", b"PK\5\6", b"\x80\x02", b"R."), _read_checkpoint),
}
"""By name."""

SHORT = {
    "words": 60,
    "yaml": 60,
    "recipe": 30,
    "study": 50,
    "record": 200,
    "csv": 200,
    "class weights": 200,
    "zip": 200,
    "npz": 300,
    "picture": 300,
    "card": 300,
    "checkpoint": 300,
}
"""Inputs of each reader in the short campaign of every test run."""


# The campaign


def campaign(name: str, inputs: int, seed: int, faults: Path | None = None) -> Tally:
    """Give a reader so many inputs and return what came of them."""
    _import_what_is_slow()
    reader, tally = READERS[name], Tally()
    before = Path.cwd()
    try:
        for number in range(inputs):
            rng = random.Random(f"{name} {seed} {number}")
            given = reader.make(rng)
            fault, took = _attempt(reader, given, tally)
            tally.inputs += 1
            tally.slowest = max(tally.slowest, took)
            if number % max(1, inputs // _MEMORY_SAMPLES) == 0:
                tally.memory.append((number, _held()))
            if fault:
                tally.faults[_kind(fault)] += 1
                if faults is not None:
                    _keep(faults, f"{name}-{seed}-{number}", given, fault)
    finally:
        os.chdir(before)
    if inputs >= _LEAST_INPUTS_OF_GROWTH and tally.growth[0] - tally.growth[1] > LARGEST_GROWTH:
        tally.faults[f"memory grows by {tally.growth[0]:.2f} KiB per input"] += 1
    return tally


def _import_what_is_slow() -> None:
    """Import what readers import when they need it: an input is not to blame for that time."""
    from peerdistill import backbones, data, deploy, fewshot, runs, training

    for module in (data, deploy, fewshot, runs, training):
        dir(module)
    with contextlib.suppress(ValueError):
        backbones.resolve("no-such-network")


def _attempt(reader: Reader, given: Any, tally: Tally) -> tuple[str, float]:
    """Return what is wrong with how an input was read, empty where nothing is, and the seconds it took."""
    from peerdistill.errors import UserError

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    os.chdir(folder)
    fault, memory, start = "", _peak(), time.perf_counter()
    try:
        with _limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.read(folder, given)
        tally.read += 1
    except UserError as error:
        tally.refused += 1
        sentence = str(error)
        if "\n" in sentence or "\x1b" in sentence or not 0 < len(sentence) < LONGEST_SENTENCE:
            fault = f"no sentence: {sentence[:300]!r} ({len(sentence)} characters)"
    except OSError as error:  # the command line tells those that name a file in one sentence
        fault = "" if error.filename is not None else traceback.format_exc()
        tally.refused += not fault
    except TooSlow:
        fault = f"slower than {SECONDS} seconds"
    except Exception:
        fault = traceback.format_exc()
    took = time.perf_counter() - start
    if not fault and _peak() - memory > MEGABYTES:
        fault = f"more than {MEGABYTES} MB of memory"
    if not fault:
        fault = _left_behind(folder)
    os.chdir("/")
    shutil.rmtree(folder, ignore_errors=True)
    return fault, took


def _left_behind(folder: Path) -> str:
    expected = {"a.yaml", "a.csv", "a.npz", "a.zip", "a.png", "images", "train.csv", "val.csv", "test.csv", "last.pt"}
    left = sorted(path.name for path in folder.iterdir() if path.name not in expected)
    return f"left behind: {left}" if left else ""


@contextlib.contextmanager
def _limit(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _peak() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _held() -> float:
    """Return the memory that this process holds, in KiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024


def _kind(fault: str) -> str:
    """Return what tells one fault from another: the last line of a traceback and where it was raised."""
    lines = [line.strip() for line in fault.strip().splitlines()]
    places = [line for line in lines if line.startswith("File ") and "peerdistill" in line]
    place = places[-1].split("peerdistill/")[-1] if places else ""
    return f"{re.sub(r'0x[0-9a-f]+|[0-9]+', '#', lines[-1])[:100]}  [{place}]"


def _keep(folder: Path, name: str, given: Any, fault: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.input").write_bytes(given if isinstance(given, bytes) else ascii(given).encode())
    (folder / f"{name}.txt").write_text(fault, encoding="utf-8", errors="backslashreplace")


def _keep_parsers() -> None:
    """Build each parser once, which is most of the time of an input; defaults are set again for each input."""
    from peerdistill.config import command_line

    command_line.train_parser = lru_cache(command_line.train_parser)


def main() -> int:
    """Run the campaign and print a line for each reader."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=20000, help="inputs of each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, action="append", help="only this one")
    parser.add_argument("--faults", type=Path, default=Path("fuzz-faults"), help="folder for what caused faults")
    options = parser.parse_args()
    faults = options.faults.absolute()
    _keep_parsers()
    found = 0
    for name in options.reader or READERS:
        start = time.perf_counter()
        tally = campaign(name, options.inputs, options.seed, faults)
        found += sum(tally.faults.values())
        took = f"slowest {tally.slowest:.2f} s, {time.perf_counter() - start:.0f} s in all"
        counts = f"{tally.read} read, {tally.refused} refused, {sum(tally.faults.values())} faults"
        grown = "" if len(tally.memory) < 20 else "; memory {:+.3f} ± {:.3f} KiB per input".format(*tally.growth)
        print(f"{name:<13} {tally.inputs:>6} inputs: {counts}; {took}{grown}", flush=True)
        for kind, times in tally.faults.most_common():
            print(f"    {times:>5} x {kind}", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
