"""Every user error is one sentence, and nothing is written.

PEERDISTILL_WRITE_DOCS=1 writes docs/errors.md, a table of all errors.
"""

import contextlib
import os
import shlex
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs" / "errors.md"
HEAD = """\
# Errors

A user error on the command line, in a file or in a folder is one sentence on stderr. The exit code is 2, and nothing
has been written or changed. Exit code 1 is a failure of the machine or of the training (full disk, out of memory, a
loss that is not finite), also one sentence. 130 is Ctrl-C, 141 a closed reader of the output (`head`). A traceback
is a bug in peerdistill: please report it. Control characters, for example an escape sequence in a class name, are
escaped (`\\x1b`).

`tests/cli/test_errors.py` runs each command of this table in the folder `/home/me`, checks these properties and writes
the table (`PEERDISTILL_WRITE_DOCS=1`).

| error | command | message |
| --- | --- | --- |
"""


@dataclass(frozen=True)
class Mistake:
    """A command line, what is wrong with it, and a text that the message must contain."""

    wrong: str
    words: str
    named: str


SMALL = "--validation.ways 2 --test.ways 2"
UNTRAINED = "--method kd --teacher runs/ten"

MISTAKES = [
    # Names
    Mistake("unknown command", "trian digits", "train"),
    Mistake("unknown backbone", "train digits --backbone resnet23", "resnet20"),
    Mistake("unknown timm model", "train digits --backbone timm:resnet10", "resnet10t"),
    Mistake("module of a user network missing", "train digits --backbone nonets:tiny", "no module nonets"),
    Mistake("unknown method", "train digits --method mcl-odk", "mcl-okd"),
    Mistake("module of a user method missing", "train digits --method nomodule:apart", "no module nomodule"),
    Mistake("user method with other parameters", "train digits --method json:loads", "(cohort, train_labels)"),
    Mistake("unknown recipe", "train digits --recipe digit", "digits"),
    Mistake("unknown data name", "train cifar", "cifar10"),
    Mistake("unknown option", "train digits --epoch 3", "--epochs"),
    Mistake("option of another method", "train digits --method baseline --beta 0.5", "baseline '--beta'"),
    Mistake("extra word", "train digits cifar10", "'cifar10'"),
    Mistake("unknown logger", "train digits --loggers [tensorbord]", "tensorboard"),
    Mistake("logger whose package is missing", "train digits --loggers [trackio]", "pip install trackio"),
    Mistake("module of a user logger missing", "train digits --loggers [nologs:Notes]", "no module nologs"),
    Mistake("dry run of a resumed run", "fewshot --resume --run runs/ten --dry_run", "dry_run cannot be combined"),
    Mistake("no DATA", "train", "DATA"),
    Mistake("no run to continue", "train --resume", "--resume needs --run FOLDER"),
    Mistake("empty DATA", "train ''", "data "),
    Mistake("unknown option without a similar name", "train digits --grayscale 0.2", "peerdistill train --help"),
    Mistake("mixing of fewer than two images per batch", "train digits --mix.mixup 0.2 --mix.share 0.01", "mix.share"),
    Mistake("unbalanced quotes", "train digits '\"'", "word"),
    Mistake("unknown home folder", "train ~no-such-user/photos", "~no-such-user"),
    Mistake("empty name of the run folder", "train digits --run=", "--run"),
    # Networks
    Mistake("unknown stage of a timm network", "train digits --backbone resnet10t --share_until layer9", "layer"),
    Mistake("--classifier for a built-in network", "train digits --classifier fc", "package.module:function"),
    Mistake(
        "different peers with shared stages",
        "train digits --peers 2 --peer_backbones [vgg8]",
        "sharing must be network",
    ),
    Mistake(
        "wrong number of different peers", "train digits --sharing network --peer_backbones [vgg8]", "peers must be 2"
    ),
    Mistake(
        "attention between peers of different widths",
        "train digits --method okddip --sharing network --peers 3 --peer_backbones [vgg8,resnet32]",
        "same width",
    ),
    Mistake("no pretrained weights", "train digits --pretrained", "timm:"),
    Mistake("weights file missing", "train digits --weights none.safetensors", "none.safetensors"),
    Mistake("class weights missing", "train digits --class_weights none.csv", "none, balanced or a YAML or CSV file"),
    Mistake(
        "a class that wrong labels leave empty",
        "train digits --subset.per_class 1 --subset.wrong_labels 0.9 --batch_size 5",
        "smaller fraction",
    ),
    Mistake("class weights of another class", "train digits --class_weights '{cat: 2}'", "choose from 0, 1"),
    Mistake("mixing with a term that needs clean images", "train digits --mix.mixup 0.2 --mix.share 1", "'contrast'"),
    Mistake(
        "two sources of weights", "train digits --pretrained --weights none.safetensors", "weights cannot be combined"
    ),
    Mistake(
        "weights of another network",
        "train npz:digits.npz --backbone resnet20 --weights runs/digits",
        "'layer1.0.body.0.weight'",
    ),
    Mistake("folder of a timm network missing", "train photos --backbone timm:local-dir:none --pretrained", "/none "),
    Mistake(
        "unknown stage to freeze",
        "train npz:digits.npz --backbone resnet8x4 --weights runs/digits --freeze_until layer9",
        "stem, layer1, layer2, layer3",
    ),
    Mistake("freezing random weights", "train digits --freeze_until layer1", "pretrained or weights"),
    # Data
    Mistake("table of labels missing", "train photos --labels none.csv", "none.csv"),
    Mistake("table of labels without a column", "train photos --labels kinds.csv", "path and label"),
    Mistake("table of labels with a missing file", "train photos --labels absent.csv", "cat/99.png"),
    Mistake("table of labels with an unknown split", "train photos --labels splits.csv", "train, val or test"),
    Mistake("folder missing", "train photos/2026", "photos/2026"),
    Mistake("folder without class folders", "train flat", "/flat'"),
    Mistake("folder with one class", "train one", "'cat'"),
    Mistake("folder with an empty class", "train empty", "empty/bird"),
    Mistake("folder with an unreadable picture", "train broken", "broken/cat/notes.png"),
    Mistake("file instead of a folder", "train photo.png", "photo.png"),
    Mistake("npz file missing", "train npz:none.npz", "none.npz"),
    Mistake("npz without a file", "train npz:", "npz:FILE"),
    Mistake("npz file without a key", "train npz:lacking.npz", "'class_names'"),
    Mistake("file that is not npz", "train npz:photo.png", "photo.png"),
    Mistake("test images for data with a test split", "train digits --test npz:digits.npz", "digits"),
    Mistake("cifar10 missing", "train cifar10", "--download"),
    Mistake("shards that are missing", "train wds:shards", "shards"),
    Mistake("column of classes for other data", "train digits --label_column fine", "hf:NAME"),
    # Few-shot data
    Mistake("no few-shot DATA", "fewshot", "omniglot"),
    Mistake("unknown few-shot data name", "fewshot omniglott", "omniglot"),
    Mistake("omniglot missing", "fewshot omniglot", "images_background"),
    Mistake("miniimagenet missing", "fewshot miniimagenet", "train.csv"),
    Mistake("cifar-fs missing", "fewshot cifar-fs", "cifar-100-python"),
    Mistake("too few classes for a class split", "fewshot photos", "at least 4 classes"),
    Mistake("class in two splits", "fewshot twice", "'cat'"),
    Mistake("folder with an empty class for few-shot", "fewshot empty", "empty/bird"),
    Mistake("background split for other data", "fewshot photos --class_split background", "omniglot"),
    Mistake("images too small for conv4", f"fewshot npz:small.npz {SMALL}", "at least 16"),
    # Episodes
    Mistake("more ways than classes", "fewshot npz:ten.npz --ways 9", "6 training classes"),
    Mistake("more shots and queries than images", "fewshot npz:ten.npz --shots 9", "class '"),
    Mistake(
        "more ways than validation classes",
        "fewshot npz:ten.npz --validation.ways 3 --test.ways 2",
        "2 validation classes",
    ),
    Mistake("more test queries than images", f"fewshot npz:ten.npz {SMALL} --test.queries 99", "queries 99"),
    Mistake("episodes of one class", "fewshot npz:ten.npz --ways 1", "ways "),
    Mistake("no shots", "fewshot npz:ten.npz --shots 0", "shots "),
    Mistake("no validation episodes", "fewshot npz:ten.npz --validation.episodes 0", "validation.episodes "),
    Mistake("episodes not a multiple of an epoch", "fewshot npz:ten.npz --episodes 250", "multiple"),
    Mistake("epochs for a few-shot run", "fewshot npz:ten.npz --epochs 3", "--epochs"),
    Mistake("prototypical loss of weight 0", "fewshot npz:ten.npz --prototypical 0", "prototypical "),
    Mistake("teacher with an untrained classifier", f"fewshot npz:ten.npz {SMALL} {UNTRAINED}", "rkd-d"),
    # Numbers
    Mistake("batch larger than the data", "train npz:digits.npz --batch_size 1000", "1000"),
    Mistake("learning rate 0", "train digits --lr 0", "lr "),
    Mistake("negative learning rate", "train digits --lr -0.1", "-0.1"),
    Mistake("unknown rule of the learning rate", "train digits --lr_scaling cubic", "lr_scaling "),
    Mistake("learning rate NaN", "train digits --lr nan", "lr "),
    Mistake("0 epochs", "train digits --epochs 0", "epochs "),
    Mistake("negative epochs", "train digits --epochs -1", "-1"),
    Mistake("batch size 0", "train digits --batch_size 0", "batch_size "),
    Mistake("negative batch size", "train digits --batch_size -8", "-8"),
    Mistake("validation out of range", "train digits --validation 1", "validation "),
    Mistake("negative validation", "train digits --validation -0.1", "-0.1"),
    Mistake("cache of size 0", "train photos --cache_gib 0", "cache_gib "),
    Mistake("warm-up over the whole run", "train digits --schedule.warmup 1", "schedule.warmup "),
    Mistake("temperature 0", "train digits --temperature 0", "temperature "),
    Mistake("contrast without negatives", "train digits --contrast.count 0", "contrast.count "),
    Mistake("weight NaN", "train digits --beta .nan", "beta "),
    Mistake("seed from 2^32 on", "train digits --seed 4294967296", "below 4,294,967,296"),
    Mistake("too many peers", "train digits --peers 1000000000", "at most 256"),
    Mistake("number with 400 digits", f"train digits --lr {'9' * 400}", "lr "),
    Mistake("time instead of a number", "train digits --epochs 1:30", "1:30"),
    Mistake("YAML tag instead of a number", "train digits --epochs '!!timestamp abc'", "epochs "),
    Mistake("YAML alias", "train digits --optimizer '{a: &a 1, b: *a}'", "optimizer "),
    Mistake("negative weight", "train digits --beta -1", "beta "),
    # Kinds
    Mistake("word instead of an integer", "train digits --epochs ten", "epochs "),
    Mistake("fraction instead of an integer", "train digits --epochs 2.5", "2.5"),
    Mistake("word instead of true or false", "train digits --flip maybe", "flip "),
    Mistake("option without a value", "train digits --epochs", "--epochs"),
    Mistake("flag with a value", "train digits --json=yes", "--json"),
    Mistake("word instead of a group of options", "train digits --optimizer adam", "optimizer "),
    Mistake("unknown name in a group of options", "train digits --optimizer '{\"lr\": 1}'", "optimizer.lr"),
    Mistake("unknown optimizer", "train digits --optimizer.name adamx", "adam"),
    Mistake("unknown kind of negatives", "train digits --contrast.negatives shard", "shared"),
    Mistake("unknown division of memory banks", "train digits --contrast.shard half", "contrast.shard "),
    Mistake("number instead of a kind of negatives", "train digits --contrast.negatives 1024", "shared"),
    Mistake("word for the size of the cache", "train photos --cache_gib much", "cache_gib "),
    Mistake("unknown device", "train digits --device gpu", "cuda"),
    # Peers
    Mistake("fewer than two peers for mcl-okd", "train digits --peers 1", "mcl-okd"),
    Mistake("0 peers", "train digits --peers 0", "peers "),
    Mistake("unknown stage in share_until", "train digits --share_until layer9", "layer1"),
    Mistake("share_until without shared stages", "train digits --sharing network --share_until layer1", "network"),
    Mistake("unknown sharing", "train digits --sharing trunk", "branch"),
    Mistake("sharing that cannot form a tree", "train digits --sharing [1,3,4,4]", "[1, 3, 4, 4]"),
    Mistake("sharing with a wrong number of stages", "train digits --sharing [1,2,4]", "stem, layer1, layer2, layer3"),
    # Configuration files
    Mistake("broken YAML", "train digits --config broken.yaml", "broken.yaml, line 3"),
    Mistake("option given twice in YAML", "train digits --config twice.yaml", "line 2"),
    Mistake("alias in YAML", "train digits --config alias.yaml", "an alias"),
    Mistake("value out of range in a YAML file", "train digits --config many.yaml", "many.yaml"),
    Mistake("folder instead of a YAML file", "train digits --config thesis", "thesis "),
    Mistake("YAML file missing", "train digits --config none.yaml", "none.yaml"),
    Mistake("unknown key in a YAML file", "train digits --config misspelt.yaml", "learning_rate"),
    Mistake("unknown key in a group of a YAML file", "train digits --config nested.yaml", "optimizer.momentum"),
    Mistake("wrong type in a YAML file", "train digits --config wordy.yaml", "epochs "),
    Mistake("YAML list instead of options", "train digits --config list.yaml", "list.yaml"),
    Mistake("file that is not YAML", "train digits --config photo.png", "photo.png"),
    # Training
    Mistake("late peers in a single epoch", "train digits --growth.start 0.5 --epochs 1", "at least 2 epochs"),
    Mistake("late peers that stay equal", "train digits --growth.start 0.5 --growth.noise 0", "growth.fresh"),
    Mistake("late start of a single peer", "train digits --method baseline --peers 1 --growth.start 0.5", "2 peers"),
    Mistake(
        "late peers with other networks",
        "train digits --sharing network --peers 2 --peer_backbones [vgg8] --growth.start 0.5",
        "peer_backbones",
    ),
    Mistake("early stopping without validation images", "train digits --validation 0 --patience 3", "validation"),
    Mistake("budget that is no time", "train digits --budget 2", "1h30m, found 2"),
    Mistake("budget and epochs", "train digits --budget 2h --epochs 3", "epochs 3"),
    Mistake("budget and episodes", "fewshot npz:ten.npz --budget 2h --episodes 200", "episodes 200"),
    Mistake("budget for several devices", "train digits --budget 2h --devices 2", "found 2"),
    Mistake("budget for a configuration that is printed", "train digits --budget 2h --print_config", "--dry_run"),
    # Run folders
    Mistake("run folder contains a run", "train digits --run runs/digits", "--resume"),
    Mistake("run folder contains other files", "train digits --run thesis", "thesis "),
    Mistake("run folder is a file", "train digits --run notes.txt", "notes.txt "),
    Mistake("resume a folder without a run", "train --resume --run thesis", "thesis"),
    Mistake("resume with another backbone", "train --resume --run runs/digits --backbone resnet32", "resnet32"),
    Mistake("resume with another method", "train --resume --run runs/digits --method mcl-okd", "mcl-okd"),
    Mistake("resume with another number of epochs", "train --resume --run runs/digits --epochs 9", "epochs 1, found 9"),
    Mistake("resume with a budget", "train --resume --run runs/digits --budget 2h", "without budget, found 2 hours"),
    Mistake("resume with other classes", "train --resume --run runs/renamed", "'eins' and 'zwei'"),
    Mistake("resume with another number of images", "train --resume --run runs/fewer", "images"),
    Mistake("resume with changed images", "train --resume --run runs/repainted", "images"),
    Mistake("resume a few-shot run with train", "train --resume --run runs/ten", "by peerdistill fewshot"),
    Mistake("resume a classification run with fewshot", "fewshot --resume --run runs/digits", "by peerdistill train"),
    # Evaluate
    Mistake("run missing", "evaluate runs/none", "runs/none"),
    Mistake("folder without a run", "evaluate thesis", "thesis "),
    Mistake("no run", "evaluate", "RUN"),
    Mistake("test split missing", "evaluate runs/divided --split test", "--split val"),
    Mistake("unknown split", "evaluate runs/digits --split train", "test or val"),
    Mistake("unknown checkpoint", "evaluate runs/digits --checkpoint first", "last or best"),
    Mistake("evaluate on changed data", "evaluate runs/renamed", "'eins' and 'zwei'"),
    Mistake("episodes for a classification run", "evaluate runs/digits --ways 5", "--ways"),
    Mistake("more ways than test classes", "evaluate runs/ten --ways 5", "2 test classes"),
    Mistake("protocol with other numbers", "evaluate runs/ten --protocol paper --shots 5", "--shots"),
    Mistake("unknown protocol", "evaluate runs/ten --protocol mine", "paper"),
    Mistake("compare with a classification run", "compare runs/ten runs/digits", "runs/digits"),
    Mistake("compare a single run", "compare runs/ten", "at least two runs"),
    Mistake("compare runs on other images", "compare runs/digits runs/divided", "last_test.npz"),
    Mistake("episodes for runs on classes", "compare runs/digits runs/divided --ways 5", "--ways"),
    Mistake("data for runs on classes", "compare runs/digits runs/divided --data photos", "--data"),
    Mistake("compare a run with itself", "compare runs/digits runs/../runs/digits", "named twice"),
    # Export
    Mistake("export onto an existing file", "export runs/digits --output leader.onnx", "--force"),
    Mistake("timm's format for another network", "export runs/digits --format timm --output out", "safetensors"),
    Mistake("unknown export format", "export runs/digits --format tflite", "onnx, pt2, safetensors"),
    Mistake("export of a missing run", "export runs/none", "runs/none"),
    Mistake("export into a missing folder", "export runs/digits --output none/leader.onnx", "none "),
    Mistake("export with the suffix of another format", "export runs/digits --output leader.pt2", ".onnx"),
    Mistake(
        "export into a file instead of a folder", "export runs/digits --output notes.txt/leader.onnx", "notes.txt "
    ),
    Mistake("export to an empty name", "export runs/digits --output ''", "--output "),
    Mistake(
        "export into an unknown home folder", "export runs/digits --output ~nobody-here/leader.onnx", "~nobody-here"
    ),
    Mistake("int8 with another format", "export runs/digits --int8 --format pt2", "--format onnx"),
    Mistake("int8 of an exported leader", "export leader.onnx --int8", "training images to calibrate on"),
    Mistake("int8 onto an existing file", "export runs/digits --int8 --output leader.onnx", "--force"),
    Mistake("int8 of a run with missing data", "export runs/gone --int8", "gone.npz"),
    Mistake("int8 of a run with changed data", "export runs/repainted --int8", "training images"),
    Mistake("export of an unknown network", "export runs/digits --what soup", "average"),
    Mistake("export of a peer that does not exist", "export runs/digits --what peer:1", "peers 0 to 0"),
    Mistake("ensemble of one peer", "export runs/digits --what ensemble", "choose leader"),
    Mistake("moving average of a run without one", "export runs/digits --what ema", "moving average"),
    Mistake("network of an exported leader", "predict leader.onnx photo.png --what ensemble", "--what"),
    # Bench
    Mistake("bench of a missing run", "bench runs/none", "runs/none"),
    Mistake("bench of an exported leader", "bench leader.onnx", "leader.onnx"),
    Mistake("bench of a run with missing data", "bench runs/gone", "gone.npz"),
    Mistake("bench on changed data", "bench runs/repainted", "training images"),
    Mistake("bench with too many repeats", "bench runs/digits --repeats 999999999", "at most 10,000"),
    Mistake("bench with 0 repeats", "bench runs/digits --repeats 0", "repeats "),
    # Cost
    Mistake("cost of data with other sizes", "cost digits --samples 3", "--samples"),
    Mistake("cost of a run with other options", "cost runs/digits --epochs 3", "--epochs"),
    Mistake("cost of a batch larger than the data", "cost --samples 20 --batch_size 64", "20"),
    # Predict
    Mistake("format of the folder of a run", "predict runs/digits photo.png --format onnx", "--format"),
    Mistake("file that is not a picture", "predict leader.onnx notes.jpg", "notes.jpg"),
    Mistake("picture missing", "predict runs/digits none.png", "none.png"),
    Mistake("folder without pictures", "predict leader.onnx empty/bird", "empty/bird "),
    Mistake("pattern without pictures", "predict leader.onnx 'photos/*.tif'", "photos/*.tif"),
    Mistake("list of pictures missing", "predict leader.onnx @none.txt", "none.txt "),
    Mistake("predictions in a file that is not CSV", "predict leader.onnx photo.png --csv photo.png", "photo.png"),
    Mistake("calibration of a few-shot run", "export runs/ten --output e.onnx --calibrate", "runs/ten"),
    Mistake("plots in a file", "evaluate runs/digits --pictures photo.png", "photo.png"),
    Mistake("plots below a file", "evaluate runs/digits --pictures photo.png/plots", "photo.png"),
    Mistake("table of a run in a missing folder", "evaluate runs/digits --csv none/a.csv", "folder none"),
    Mistake("plots of a few-shot run", "evaluate runs/ten --pictures plots", "runs/ten"),
    Mistake("no pictures", "predict leader.onnx", "PICTURES"),
    Mistake("file that is not a model", "predict notes.txt photo.png", ".onnx, .pt2, .safetensors"),
    Mistake("broken model", "predict notes.onnx photo.png", "notes.onnx"),
    Mistake("program that is not trusted", "predict notes.pt2 photo.png", "--trust"),
    Mistake("model missing", "predict none.onnx photo.png", "none.onnx"),
    Mistake("folder without a run as model", "predict thesis photo.png", "thesis "),
    Mistake("0 classes to print", "predict leader.onnx photo.png --top 0", "top "),
    Mistake("encoder without examples", "predict encoder.onnx photo.png", "--support"),
    Mistake("examples for a leader with classes", "predict leader.onnx photo.png --support photos", "3 classes"),
    Mistake("examples missing", "predict encoder.onnx photo.png --support none", "none "),
    Mistake("examples with an empty class", "predict encoder.onnx photo.png --support empty", "empty/bird"),
    Mistake("examples with an unreadable picture", "predict encoder.onnx photo.png --support broken", "notes.png"),
    # Analyse
    Mistake("unknown study", "reproduce table9", "table5"),
    Mistake("unknown scale", "reproduce table2 --scale huge", "smoke"),
    Mistake("unknown label of a study", "reproduce table2 --method KDCL", "MCL-OKD"),
    Mistake("chosen axis without a label", "reproduce table2 --only method", "AXIS=LABEL"),
    Mistake("place of unknown data of a study", "reproduce table2 --data CIFAR=photos", "CIFAR-100"),
    Mistake("place without the name of its data", "reproduce table2 --data photos", "NAME=DATA"),
    Mistake("runs of a study in a file", "reproduce table2 --runs photo.png", "photo.png is a file"),
    Mistake("unknown analysis", "analyse runs/digits --only similarities", "similarity"),
    Mistake("analysis of a missing run", "analyse runs/digits runs/none", "runs/none"),
    Mistake("analysis on changed data", "analyse runs/repainted --csv numbers", "training images"),
    Mistake("run that is named twice", "analyse runs/digits runs/digits", "named twice"),
    Mistake("analyses in a file", "analyse runs/digits --png photo.png", "photo.png is a file"),
    # Demo
    Mistake("demo in a folder with other files", "demo --run thesis", "thesis "),
]


@dataclass(frozen=True)
class Report:
    """Outcome of a mistake: ``end`` is the exit code, or the traceback of an unexpected exception."""

    end: int | str
    stdout: str
    stderr: str
    touched: frozenset[str]

    @property
    def sentence(self) -> str:
        return self.stderr.removeprefix("peerdistill: ").rstrip("\n")


def files_of(folder: Path) -> set[tuple]:
    """Return every path below a folder, of files with what tells whether they were written to."""
    paths = [(path, path.stat()) for path in folder.rglob("*")]
    return {
        (str(path), *((status.st_size, status.st_mtime_ns, status.st_ino) if path.is_file() else ()))
        for path, status in paths
    }


@pytest.fixture(scope="module")
def reports(home, peerdistill) -> dict[Mistake, Report]:
    """Make every mistake once."""
    found = {}
    before = files_of(home)
    with contextlib.chdir(home):
        for mistake in MISTAKES:
            try:
                outcome = peerdistill(*shlex.split(mistake.words))
                end, stdout, stderr = outcome.code, outcome.stdout, outcome.stderr
            except Exception:
                end, stdout, stderr = traceback.format_exc(), "", ""
            after = files_of(home)
            touched = frozenset(str(entry[0]) for entry in before ^ after)
            found[mistake] = Report(end, stdout, stderr, touched)
            before = after
    return found


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.words.replace(" ", "_"))
def test_an_error_is_one_sentence_and_nothing_is_written(reports, mistake):
    found = reports[mistake]
    assert found.end == 2
    assert found.stderr.startswith("peerdistill: ")
    assert found.stderr.endswith("\n")
    assert len(found.stderr.splitlines()) == 1
    assert found.stdout == ""
    assert found.touched == frozenset()
    assert mistake.named in found.sentence


def test_the_table_is_up_to_date(reports, home):
    rows = [(mistake.wrong, f"`peerdistill {mistake.words}`", found.sentence) for mistake, found in reports.items()]
    cells = [[cell.replace(str(home), "/home/me").replace("|", r"\|") for cell in row] for row in rows]
    text = HEAD + "".join(f"| {' | '.join(row)} |\n" for row in cells)
    if os.environ.get("PEERDISTILL_WRITE_DOCS") == "1":
        DOCS.write_text(text, encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == text


def test_a_process_ends_with_exit_code_2_and_no_traceback(at_home):
    words = [sys.executable, "-m", "peerdistill", "evaluate", "runs/none"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("peerdistill: ")
    assert len(done.stderr.splitlines()) == 1
