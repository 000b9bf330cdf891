"""The page in a real Chromium: a dropped picture has the classes and probabilities of `predict`."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn

from peerdistill.data.images.preprocess import fit
from peerdistill.deploy import LeaderCard, export, predict
from support.browser import RecordedPage, served
from support.photos import write_class_folders, write_noise

HOSTILE = ("<img src=x onerror=document.title='hit'>", "</script><script>document.title='hit'</script>", "n" * 300)
CARDS = {
    "colour": LeaderCard("resnet8", HOSTILE, 24, 3, (0.4,) * 3, (0.3,) * 3, 0.875, 2.5, "bicubic"),
    "grey": LeaderCard("resnet8", HOSTILE, 24, 1, (0.4,), (0.3,), 1.0),
}
ORIENTATION = 0x0112


@dataclass
class Site:
    """An exported folder that is served at an address."""

    folder: Path
    address: str


@contextmanager
def served_site(folder: Path, card: LeaderCard) -> Iterator[Site]:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(card.channels, 16, 5, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten())
    classifier = nn.Identity() if card.is_encoder else nn.Linear(144, len(card.class_names))
    network = nn.Sequential(body, classifier).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)  # answers that differ from picture to picture
    pictures = torch.randint(0, 256, (4, card.channels, card.image_size, card.image_size), dtype=torch.uint8)
    export(network, card, folder, format="web", pictures=pictures)
    with served(folder) as address:
        yield Site(folder, address)


@pytest.fixture(scope="module")
def sites(tmp_path_factory, with_runtime) -> Iterator[Mapping[str, Site]]:
    folder = tmp_path_factory.mktemp("web")
    with ExitStack() as stack:
        yield {name: stack.enter_context(served_site(folder / name, card)) for name, card in CARDS.items()}


@pytest.fixture
def site(sites) -> Site:
    return sites["colour"]


@pytest.fixture
def ready(open_page) -> Callable[..., RecordedPage]:
    """Return a function that opens the page of a site and waits until it takes pictures."""

    def opened(site: Site, **how) -> RecordedPage:
        recorded = open_page(site.address, **how)
        recorded.page.locator("#status", has_text="Ready.").wait_for()
        return recorded

    return opened


def photo() -> Image.Image:
    """A smooth picture in colour."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((213, 142), Image.Resampling.BICUBIC, box=(0, 0, 12, 8))


def swapped_profile() -> bytes:
    """A colour profile with red and green exchanged: who applies it sees another picture."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def write_pictures(folder: Path) -> list[Path]:
    """Write pictures of many kinds. All but the last few are large or small, opaque or not."""
    turned = Image.Exif()
    turned[ORIENTATION] = 6
    clear = photo()
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    pictures = {
        "rgb.png": (photo(), {}),
        "alpha.png": (clear, {}),
        "grey.png": (photo().convert("L"), {}),
        "palette.png": (photo().quantize(16), {"transparency": 3}),
        "turned.png": (photo(), {"exif": turned}),
        "photo.jpg": (photo(), {"quality": 75}),
        "full-colour.jpg": (photo(), {"quality": 90, "subsampling": 0}),
        "progressive.jpg": (photo().resize((1200, 800)), {"progressive": True}),
        "grey.jpg": (photo().convert("L"), {}),
        "turned.jpg": (photo(), {"exif": turned}),
        "profile.jpg": (photo(), {"icc_profile": swapped_profile()}),
        "alpha.webp": (clear, {"lossless": True}),
        "small.gif": (photo().resize((5, 7)).quantize(8), {}),
        "strip.png": (photo().resize((1700, 9)), {}),
    }
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)
    return [folder / name for name in pictures]


def drop(recorded: RecordedPage, file: Path) -> None:
    """Drop a file on the page."""
    code = """([name, content]) => {
        const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], name));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    recorded.page.evaluate(code, [file.name, base64.b64encode(file.read_bytes()).decode()])
    recorded.page.locator("#picture-name", has_text=re.compile(f"^{re.escape(file.name)}$")).wait_for()


def shown(recorded: RecordedPage) -> dict[str, float]:
    """The classes and probabilities on the page."""
    code = "rows => rows.map(row => [row.querySelector('.name').textContent, Number(row.dataset.probability)])"
    return dict(recorded.page.eval_on_selector_all("#classes li", code))


@pytest.mark.parametrize("name", CARDS)
def test_dropped_pictures_have_the_probabilities_of_predict(sites, name, ready, tmp_path):
    site = sites[name]
    pictures, recorded, answers = write_pictures(tmp_path), ready(site), set()
    for picture, expected in zip(pictures, predict(site.folder, pictures), strict=True):
        drop(recorded, picture)
        found = shown(recorded)
        assert list(found) == list(expected.classes), picture.name
        assert list(found.values()) == pytest.approx(expected.probabilities, abs=1e-4), picture.name
        (first, *_) = expected.probabilities
        assert recorded.page.locator(".percent").first.inner_text() == f"{100 * first:.1f} %"
        answers.add(round(first, 3))
    assert len(answers) > 5  # the pictures are told apart
    assert recorded.errors == []
    assert recorded.foreign_requests(site.address) == []


def test_real_photographs_have_the_probabilities_of_predict(site, ready, shared_data):
    pictures, recorded = sorted((shared_data / "flowers").glob("*/*.jpg"))[::20], ready(site)
    for picture, expected in zip(pictures, predict(site.folder, pictures), strict=True):
        drop(recorded, picture)
        found = shown(recorded)
        assert [found[name] for name in expected.classes] == pytest.approx(expected.probabilities, abs=1e-4)
    assert len(pictures) == 10


def test_class_names_are_text(site, ready, tmp_path):
    recorded = ready(site, width=390, height=844, touch=True)
    drop(recorded, write_pictures(tmp_path)[0])
    names = set(recorded.page.locator("#classes .name").all_text_contents())
    assert names == set(HOSTILE) == set(recorded.page.locator("#all-classes li").all_text_contents())
    assert recorded.page.title() == "Classify a picture"
    assert recorded.page.locator("img[src=x]").count() == 0
    # On a phone, nothing is wider than the screen, whatever the length of a name.
    assert recorded.page.evaluate("document.documentElement.scrollWidth") == 390
    assert recorded.page.get_by_text("Take a photograph").is_visible()


@pytest.fixture(scope="module")
def encoder_site(tmp_path_factory, with_runtime) -> Iterator[Site]:
    card = LeaderCard("resnet8", (), 24, 3, (0.4,) * 3, (0.3,) * 3, 1.0)
    with served_site(tmp_path_factory.mktemp("web") / "encoder", card) as site:
        yield site


def test_examples_of_each_class_make_an_encoder_a_classifier(encoder_site, ready, tmp_path):
    support, names = tmp_path / "support", ["<b>first", "second", "third"]
    for place, name in enumerate(names):
        write_class_folders(support, {name: 1 + place}, first=10 * place)
    query = write_noise(tmp_path / "query.png", seed=5)
    recorded = ready(encoder_site)
    page, rows = recorded.page, recorded.page.locator("#example-classes li")
    page.set_input_files("#file", query)
    page.locator("#status", has_text="Add example pictures to at least two classes.").wait_for()
    page.get_by_role("button", name="Add a class").click()
    for row, name in zip(rows.all(), names, strict=True):
        row.get_by_role("textbox", name="Name of the class").fill(name)
        row.locator("input[type=file]").set_input_files(sorted((support / name).iterdir()))
    rows.nth(2).get_by_text("3 pictures").wait_for()
    page.locator("#picture-name", has_text="query.png").wait_for()

    (expected,) = predict(encoder_site.folder, [query], support=support)
    page.locator("#classes li:nth-child(3)").wait_for()
    assert list(shown(recorded).items()) == [
        (name, pytest.approx(probability, abs=1e-4))
        for name, probability in zip(expected.classes, expected.probabilities, strict=True)
    ]

    (tmp_path / "notes.txt").write_text("not a picture")
    rows.first.locator("input[type=file]").set_input_files(tmp_path / "notes.txt")
    page.locator("#status", has_text="notes.txt is not a picture that this browser can read.").wait_for()
    rows.first.get_by_role("button", name="Remove").click()
    page.locator("#classes li:nth-child(3)").wait_for(state="detached")
    assert set(shown(recorded)) == {"second", "third"}
    assert recorded.errors == []
    assert recorded.foreign_requests(encoder_site.address) == []


def test_what_is_not_a_picture_is_one_sentence_and_the_page_goes_on(site, ready, tmp_path):
    recorded = ready(site)
    page = recorded.page
    (tmp_path / "notes.txt").write_text("not a picture")
    (picture, *_) = write_pictures(tmp_path)
    damaged = tmp_path / "half.png"
    damaged.write_bytes(picture.read_bytes()[:100])
    for file in (tmp_path / "notes.txt", damaged):
        page.set_input_files("#file", file)
        page.locator("#status", has_text=f"{file.name} is not a picture that this browser can read.").wait_for()
        assert page.locator("#result").is_hidden()
    page.set_input_files("#file", picture)
    page.locator("#result").wait_for()
    assert recorded.errors == []


def test_the_keyboard_chooses_a_picture_and_the_answer_is_announced(site, ready, tmp_path):
    recorded = ready(site)
    page = recorded.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files(write_pictures(tmp_path)[0])
    page.locator("#result").wait_for()
    announced = page.get_by_role("status").inner_text()
    assert announced == ", ".join(
        page.locator(f"#classes li:first-child .{part}").inner_text() for part in ("name", "percent")
    )
    assert re.search(r"classified in [\d.]+ ms", page.locator("#latency").inner_text())


@pytest.fixture(scope="module")
def page_files():
    with as_file(files("peerdistill.deploy.web") / "site") as folder, served(folder) as address:
        yield address


SIZES = [(31, 47), (47, 31), (24, 24), (500, 333), (3, 2), (1, 1), (1800, 9), (40, 90), (9, 1800)]


@pytest.mark.parametrize(
    ("interpolation", "channels", "crop"), [("bilinear", 3, 0.875), ("bicubic", 3, 1.0), ("bicubic", 1, 0.6)]
)
def test_squares_are_those_of_pillow_level_by_level(page_files, open_page, interpolation, channels, crop):
    """Against `fit`, for enlarged, reduced and very long pictures."""
    page, random = open_page(page_files + "resample.js").page, np.random.default_rng(1)
    code = """async ([content, width, height, card]) => {
        const { square } = await import("/resample.js");
        const data = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
        return Array.from(square({ data, width, height }, card));
    }"""
    card = {"image_size": 24, "channels": channels, "crop": crop, "interpolation": interpolation}
    for width, height in SIZES:
        pixels = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
        pixels[:, width // 2 :] = (pixels[:, width // 2 :] > 127) * np.uint8(255)  # the bicubic filter overshoots
        found = page.evaluate(code, [base64.b64encode(pixels.tobytes()).decode(), width, height, card])
        expected = fit(Image.fromarray(pixels[..., :3]), 24, channels, crop, interpolation).ravel()
        # Of tall pictures, Pillow before version 13 resizes rows before columns, and now columns before rows.
        allowed = 1 if height > 2 * width and int(PIL.__version__.split(".")[0]) < 13 else 0
        assert np.abs(np.array(found) - expected).max() <= allowed, (width, height)


def test_a_page_that_is_opened_as_a_file_says_how_to_serve_it(site, open_page):
    recorded = open_page(site.folder / "index.html")
    recorded.page.locator("#status", has_text="This page was opened as a file").wait_for()
    assert "python -m http.server" in recorded.page.locator("#status").inner_text()
    assert recorded.errors == []


@pytest.mark.parametrize("missing", ["model.onnx", "leader-card.json", "ort-wasm-simd-threaded.wasm", "page.js"])
def test_a_missing_file_is_one_sentence(site, open_page, serve_folder, tmp_path, missing):
    for file in site.folder.iterdir():
        if file.name != missing:
            (tmp_path / file.name).hardlink_to(file)
    recorded = open_page(serve_folder(tmp_path))
    recorded.page.locator("#status", has_text=re.compile("cannot be loaded")).wait_for()
    assert recorded.page.locator("#file").is_disabled()
