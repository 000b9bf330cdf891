"""The leader as a program of ``torch.export``, from images in 0..1 to logits or features."""

import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from peerdistill.deploy.formats.format import Format, Leader
from peerdistill.errors import UserError

if TYPE_CHECKING:
    from peerdistill.deploy.formats.format import Opened


def write_pt2(leader: Leader, path: Path) -> None:
    """Write the traced program, and the card as extra files in its archive.

    Raises:
        ExportError: If the leader cannot be traced.
    """
    import torch

    from peerdistill.deploy.tracing import traced

    program = BytesIO()
    torch.export.save(traced(leader.network, leader.card), program, extra_files=leader.card.to_metadata())
    # Not written directly to the file: PyTorch's writer ends the process if the disk is full.
    path.write_bytes(program.getbuffer())


def open_pt2(path: Path) -> "Opened":
    """Return the scorer and the card of a file. ``torch.export.load`` unpickles and evaluates parts of it.

    Raises:
        UserError: If the file was not exported by this package.
    """
    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.scorers import torch_scorer

    # The card is read first, from the archive itself: a foreign file is refused before it is loaded.
    with zipfile.ZipFile(path) as archive:
        _check_stored(archive, path)
        extra = {name.partition("/extra/")[2]: name for name in archive.namelist() if "/extra/" in name}
        metadata = {key: archive.read(name).decode() for key, name in extra.items()}
    card = LeaderCard.from_metadata(metadata, path)
    import torch

    return torch_scorer(torch.export.load(path).module()), card


def _check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise UserError if the archive unpacks to more bytes than the file has; PyTorch does not compress."""
    parts = archive.infolist()
    unpacked, size = sum(part.file_size for part in parts), path.stat().st_size
    if unpacked > size or any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise UserError(
            f"{path} is not a model: its parts take {unpacked} bytes in a file of {size}, but PyTorch writes them "
            "uncompressed"
        )


FORMAT = Format(
    name="pt2",
    help="program for PyTorch (torch.export)",
    suffix=".pt2",
    write=write_pt2,
    open=open_pt2,
    runs_code=True,
)
