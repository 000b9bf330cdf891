"""A folder with a page that classifies pictures in a browser, by onnxruntime-web.

Any server of static files can serve it. The page asks for nothing but the files of its folder. Of an
encoder, it takes example pictures of each class.
"""

import json
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peerdistill.deploy.formats.format import Check, ExportError, Format, Leader
from peerdistill.deploy.formats.onnx import open_onnx, write_onnx

if TYPE_CHECKING:
    from peerdistill.deploy.card import LeaderCard
    from peerdistill.deploy.formats.format import Opened

CARD, MODEL = "leader-card.json", "model.onnx"


def write_web(leader: Leader, path: Path) -> None:
    """Write the folder: the page, onnxruntime-web, the ONNX file, and the card as JSON for the page.

    Raises:
        ExportError: If the leader cannot be converted.
        UserError: If onnxruntime-web cannot be downloaded or read.
    """
    from peerdistill.deploy.web.runtime import runtime_files

    path.mkdir()
    for name, content in {**_page_files(), **runtime_files()}.items():
        (path / name).write_bytes(content)
    write_onnx(leader, path / MODEL)
    (path / CARD).write_text(json.dumps(card_of_page(leader.card)), encoding="utf-8")


def _page_files() -> dict[str, bytes]:
    site = files("peerdistill.deploy.web") / "site"
    return {file.name: file.read_bytes() for file in site.iterdir() if file.is_file()}


def card_of_page(card: "LeaderCard") -> dict[str, Any]:
    """Return what the page needs to know: preparation of pictures, classes, and what the network is, in words."""
    names = ("class_names", "image_size", "channels", "crop", "interpolation", "backbone", "method", "peers")
    return {**{name: getattr(card, name) for name in names}, "output": card.output, "name": card.name}


def open_web(path: Path) -> "Opened":
    """Return the scorer and the card of the ONNX file in a folder."""
    return open_onnx(path / MODEL)


def verify_web(leader: Leader, path: Path) -> Check:
    """Check that the ONNX file reproduces the leader, and that the page has the leader's card."""
    from peerdistill.deploy.verification import reproduces

    check = reproduces(leader, path, open_web)
    expected = json.loads(json.dumps(card_of_page(leader.card)))
    if json.loads((path / CARD).read_text(encoding="utf-8")) != expected:
        raise ExportError(f"{CARD} of the page has another card than {leader.card.name}")
    return check


FORMAT = Format(
    name="web",
    help="folder with a page for browsers",
    suffix="",
    stem="leader-web",
    write=write_web,
    open=open_web,
    verify=verify_web,
    folder_with=CARD,
    usage="serve the folder, for example with: python -m http.server --directory {path}",
)
