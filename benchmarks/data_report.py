"""What docs/performance.md says of the data, out of the figures that the benchmark wrote beside it."""

from page import figures, header_text, put_section, table
from peerdistill.data.folders import SHORTER

MIB = 2**20
ARRAYS_TARGET, SHARE_TARGET, CACHE_TARGET = 20, 0.03, 5
STEP_TARGET_S, ANSWER_TARGET_S = 2.0, 0.5

_INTRODUCTION = f"""
`python benchmarks/data.py --photographs FOLDER --write` measures and writes this part.

**Arrays** (digits, CIFAR, npz files) live on the device as bytes, for training with their border of padding: of 32 x 32
pixels 1.56 times their room. Every crop that there is, is then a view, and a batch is gathered by one copy; half of it
is mirrored, and bytes become normalised floats once, at the end. On a CPU NumPy copies, line by line; PyTorch's own
kernel goes from pixel to pixel there. The usual way beside it is torchvision's: `RandomCrop(32, padding=4)`,
`RandomHorizontalFlip`, `ToTensor` and `Normalize` on each picture, in a DataLoader with two persistent workers. Crops
and flips have the same distribution (`tests/data/test_augmentation.py`).

**Folders of photographs** are limited by decoding. What was decoded is kept: for training the whole picture, its
shorter side at most {SHORTER} times the side of the squares, for evaluation the square itself. A random part of a
quarter of the area or more is then as sharp as one of the photograph itself; smaller ones are enlarged in either case,
and are softer where the photograph was larger. Training without a cache shrinks pictures in the same way, so results
do not depend on whether there was one.

- A cache is a memory map of bytes and an index, in the user's cache folder (`--cache FOLDER`, `--cache off`). All of
  them together take `--cache_gib` at most, and leave 5 GiB of the disk free; the cache that was not used for longest is
  cleared away first, never one in use. What finds no room is decoded again each time.
- A picture is found by a digest of its file's content, so one that has changed is never served as it was. Settings and
  versions of the decoder are part of the cache's name.
- A process may be killed at any time, and several may use one cache. What is damaged is decoded and kept again.
- The check for unreadable pictures before training fills the cache, and later commands find their pictures in it.
"""


def data_text(report: dict) -> str:
    return "\n\n".join([_arrays_text(report["arrays"]), *_photographs_parts(report["photographs"])])


def _reached(value: bool) -> str:
    return "reached" if value else "missed"


def _arrays_text(found: dict) -> str:
    rows = [
        ["torchvision, 2 workers", f"{found['torchvision_images_per_second']:,.0f}", "1"],
        ["from bytes on the device", f"{found['ours_images_per_second']:,.0f}", f"{found['ratio']:.1f}"],
    ]
    steps = (
        f"A batch takes {1e3 * found['batch_seconds']:.2f} ms beside a step of {found['step_seconds']:.2f} s by "
        f"mcl-okd ({found['share_of_step']:.1%}) and of {found['baseline_step_seconds']:.2f} s by cross-entropy alone "
        f"({found['share_of_baseline_step']:.1%})."
    )
    targets = (
        f"Targets: at least {ARRAYS_TARGET} times as many images a second: "
        f"{_reached(found['ratio'] >= ARRAYS_TARGET)}; at most {SHARE_TARGET:.0%} of the step: "
        f"{_reached(found['share_of_step'] <= SHARE_TARGET)}."
    )
    load = (
        "On a busy machine the loader's three processes lose more than the one thread beside them: mind the load above."
    )
    return "\n\n".join([table(["arrays", "images a second", "times as many"], rows), steps, targets, load])


def _photographs_parts(rows: list[dict]) -> list[str]:
    head = [
        "photographs, square",
        "decoded, no cache",
        "first epoch: decoded and kept",
        "later epochs",
        "times as fast",
    ]
    epochs = [
        [
            f"{row['image_size']}",
            *(f"{row['images'] / row[f'{name}_epoch_seconds']:,.0f}" for name in ("decoded", "first", "later")),
            f"{row['first_epoch_seconds'] / row['later_epoch_seconds']:.1f}",
        ]
        for row in rows
    ]
    shares = [
        [
            f"{row['image_size']}",
            f"{1e3 * row['step_seconds']:,.0f}",
            *(
                text
                for name in ("decoded", "cached")
                for text in (f"{1e3 * row[f'{name}_batch_seconds']:,.1f}", f"{row[f'{name}_share_of_step']:.1%}")
            ),
            f"{row['first_load_seconds']:.1f}",
            f"{row['second_load_seconds']:.1f}",
            f"{row['cache_bytes'] / MIB:,.0f}",
        ]
        for row in rows
    ]
    ratios = [row["first_epoch_seconds"] / row["later_epoch_seconds"] for row in rows]
    reached = ", ".join(
        f"{_reached(ratio >= CACHE_TARGET)} at {row['image_size']} pixels"
        for ratio, row in zip(ratios, rows, strict=True)
    )
    share_head = [
        "square",
        "step, ms",
        "batch decoded, ms",
        "share of both",
        "batch from the cache, ms",
        "share of both",
        "start with an empty cache, s",
        "later starts, s",
        "cache, MiB",
    ]
    return [
        "Images a second in an epoch (the first: pictures are decoded and kept):",
        table(head, epochs),
        f"Target: later epochs at least {CACHE_TARGET} times as fast as the first: {reached}. What no cache spares is "
        "the random part's own resizing, its way from the worker and its normalising: it grows with the area of the "
        "square, and decoding does not. Where photographs are larger than these, decoding is more of it.",
        "What decoding is of a step when the training process does it itself, and how long it takes until the pictures "
        "are checked and training can start:",
        table(share_head, shares),
    ]


_STARTUP = """
`python benchmarks/startup.py --write` measures and writes this part. Options, their values, the names of data and the
run's folder are checked before PyTorch is imported; what timm and torchvision offer is looked up only for names that
are not ours. Of what is beyond PyTorch's own import, half is `torch._dynamo`: PyTorch's optimisers import it, whether
anything is compiled or not. Fabric imports torchmetrics where it finds it; this package neither needs nor installs it,
and where it is there the start takes as much longer as the table says.
"""


def startup_text(took: dict[str, float]) -> str:
    alone, first = took["import torch"], took["first step"]
    rows = [
        [
            "`import torch` alone"
            if name == "import torch"
            else f"`peerdistill train digits`: {name}"
            if name.startswith("first step")
            else name,
            f"{value:.2f}",
            f"{value - alone:.2f}" if name.startswith("first step") else "",
        ]
        for name, value in took.items()
    ]
    slowest = max(value for name, value in took.items() if name not in {"import torch"} and "first step" not in name)
    targets = (
        f"Targets: the first step under {STEP_TARGET_S:.0f} s beyond importing PyTorch: "
        f"{_reached(first - alone < STEP_TARGET_S)}; answers under {ANSWER_TARGET_S} s: "
        f"{_reached(slowest < ANSWER_TARGET_S)}."
    )
    return "\n\n".join([table(["from start to", "seconds", "beyond import torch"], rows), targets])


def section() -> str:
    """The section as the page has it; a part whose figures were not measured is left out."""
    parts = [_INTRODUCTION.strip()]
    if data := figures("data"):
        parts += [header_text(data), data_text(data)]
    if startup := figures("startup"):
        parts += ["### The start", _STARTUP.strip(), header_text(startup), startup_text(startup["seconds"])]
    return "\n\n".join(parts)


def write_section() -> None:
    """Put the section into the page."""
    put_section("The data", section())
