"""What ``--dry_run`` prints."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from peerdistill.cli.printing import in_bytes

if TYPE_CHECKING:
    from peerdistill.runs import DryRun

_MOST_CLASSES = 20
_UNEVEN = 1.5  # from this ratio of class sizes on, the classes are called imbalanced
_OF_SGD = ("momentum", "nesterov")
_OF_STEPS = ("every", "factor")
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def tables(found: "DryRun") -> Iterator[Table]:
    """Yield the tables of a dry run: its classes unless there are many, and everything else."""
    counts = found.images["train"]
    if len(counts) <= _MOST_CLASSES:
        yield _classes(found.images)
    table = Table(show_header=False, box=box.SIMPLE)
    for name, text in _rows(found):
        table.add_row(name, Text(text))
    yield table


def _classes(images: Mapping[str, Mapping[str, int]]) -> Table:
    """Return the number of images by class and split. In few-shot data, splits have no common classes."""
    table = Table("class", box=box.SIMPLE)
    for split in images:
        table.add_column(_SPLITS[split], justify="right")
    for name in dict.fromkeys(name for counts in images.values() for name in counts):
        table.add_row(Text(name), *(str(counts.get(name, "-")) for counts in images.values()))
    return table


def _rows(found: "DryRun") -> Iterator[tuple[str, str]]:
    config, training = found.config, found.config.training
    images = training.batch_size * training.accumulate
    yield "data", _data(found)
    yield "class sizes", _balance(found.images["train"], found.imbalance)
    yield "preprocessing", _preprocessing(found.preprocessing)
    names = list(dict.fromkeys(found.backbones))
    yield (
        "network",
        f"{config.method}: {len(found.backbones)} x {', '.join(names)}, copies of each stage {list(found.copies)}",
    )
    sizes = found.parameters
    yield (
        "parameters",
        f"{sizes['leader']:,} deployed; {sizes['cohort'] + sizes['method']:,} trained "
        f"(peers {sizes['cohort']:,}, terms {sizes['method']:,})",
    )
    banks = [f"{name} {in_bytes(size)}" for name, size in found.buffers.items()]
    yield "banks and buffers", ", ".join(banks) or "none"
    yield "optimizer", f"{_options(asdict(training.optimizer), _OF_SGD, 'sgd')}, lr {training.lr}"
    yield "schedule", _options(asdict(training.schedule), _OF_STEPS, "step")
    yield (
        "steps",
        f"{training.epochs} epochs x {found.steps_per_epoch:,} = {found.steps:,} of {images} images each",
    )
    if found.plan is not None:
        yield "plan", "\n".join(found.plan.reasons)
    if found.worth is not None:
        yield "equal time", found.worth
    if found.gpu_bytes is not None:
        yield "GPU memory", f"at least {in_bytes(found.gpu_bytes)}"
    speed = images / found.seconds_per_step
    yield (
        "estimated time",
        f"{timedelta(seconds=round(found.seconds))} on {found.device}, from 3 steps ({speed:,.0f} images/s)",
    )


def _data(found: "DryRun") -> str:
    totals = [f"{sum(counts.values()):,} {_SPLITS[split]}" for split, counts in found.images.items()]
    left_out = f"; {found.unreadable} unreadable pictures left out" if found.unreadable else ""
    return f"{found.config.data.data}: {len(found.images['train'])} classes, images: {', '.join(totals)}{left_out}"


def _balance(counts: Mapping[str, int], imbalance: float) -> str:
    least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    if counts[least] == counts[most]:
        return f"{counts[least]} training images each"
    text = f"{counts[least]} (class {least}) to {counts[most]} (class {most}) training images"
    return f"{text}: imbalanced, {imbalance:.1f} to 1" if imbalance >= _UNEVEN else text


def _preprocessing(values: Mapping[str, Any]) -> str:
    side, colour = values["image_size"], "RGB" if values["channels"] == 3 else "grey"
    mean, std = ("/".join(f"{value:.3f}" for value in values[name]) for name in ("mean", "std"))
    return f"{side} x {side} {colour}, crop {values['crop']}, {values['interpolation']}, mean {mean}, std {std}"


def _options(values: Mapping[str, Any], own: Collection[str], owner: str) -> str:
    """Return options in a line, the name first; those that are off, or that only another name has, are left out.

    Args:
        values: The options, with ``name``.
        own: Options that only ``owner`` has.
        owner: A name.
    """
    name = values["name"]
    used = {key: value for key, value in values.items() if key != "name" and (name == owner or key not in own)}
    rest = [f"{key} {value}" for key, value in used.items() if value not in (None, False)]
    return ", ".join([name, *(text.removesuffix(" True") for text in rest)])
