import os

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from peerdistill.data.images import decode
from peerdistill.data.images.decode import open_picture, picture_formats, picture_suffixes
from peerdistill.errors import PeerdistillWarning, UserError

RED, WHITE = (255, 0, 0), (255, 255, 255)
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


def opened(tmp_path, picture: Image.Image, name: str = "picture.png", **options) -> np.ndarray:
    """Pixels of ``picture`` after a way through a file."""
    picture.save(tmp_path / name, **options)
    result = open_picture(tmp_path / name)
    assert result.mode == "RGB"
    return np.asarray(result)


def test_rgb_keeps_its_pixels(tmp_path, noise):
    assert np.array_equal(opened(tmp_path, Image.fromarray(noise)), noise)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_gives_three_equal_channels(tmp_path, noise, mode):
    grey = noise[..., 0] if mode == "L" else np.where(noise[..., 0] > 127, 255, 0).astype(np.uint8)
    pixels = opened(tmp_path, Image.fromarray(grey).convert(mode))
    assert np.array_equal(pixels, np.repeat(grey[..., np.newaxis], 3, axis=2))


def palette_picture() -> Image.Image:
    picture = Image.new("P", (3, 1))
    picture.putpalette([*RED, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    return picture


def test_palette_colours_are_looked_up(tmp_path):
    assert opened(tmp_path, palette_picture()).tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]


@pytest.mark.parametrize(("name", "transparency"), [("a.png", 1), ("a.png", b"\xff\x00\xff"), ("a.gif", 1)])
def test_transparent_palette_colour_becomes_white(tmp_path, name, transparency):
    pixels = opened(tmp_path, palette_picture(), name, transparency=transparency)
    assert pixels.tolist() == [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]


def test_transparent_rgb_colour_becomes_white(tmp_path):
    picture = Image.new("RGB", (2, 1), RED)
    picture.putpixel((0, 0), (1, 2, 3))
    assert opened(tmp_path, picture, transparency=(1, 2, 3)).tolist() == [[list(WHITE), list(RED)]]


@given(colour=st.tuples(*[st.integers(0, 255)] * 4))
@settings(max_examples=25, deadline=None)
def test_rgba_is_laid_over_white(tmp_path_factory, colour):
    pixels = opened(tmp_path_factory.mktemp("rgba"), Image.new("RGBA", (1, 1), colour))
    alpha = colour[3] / 255
    expected = alpha * np.array(colour[:3]) + (1 - alpha) * 255
    assert np.abs(pixels[0, 0] - expected).max() <= 1


def test_half_transparent_grey_is_laid_over_white(tmp_path):
    pixels = opened(tmp_path, Image.new("LA", (1, 1), (0, 128)))
    assert pixels.tolist() == [[[127, 127, 127]]]


@pytest.mark.parametrize(("name", "tolerance"), [("a.tif", 0), ("a.jpg", 3)])
def test_cmyk_red_is_red(tmp_path, name, tolerance):
    pixels = opened(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), name)
    assert np.abs(pixels.astype(int) - RED).max() <= tolerance


def test_16_bit_grey_is_scaled_to_8(tmp_path):
    grey = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif", "a.pgm"):
        pixels = opened(tmp_path, Image.fromarray(grey), name)
        assert pixels[0, :, 0].tolist() == [0, 1, 128, 255], name


def test_32_bit_integers_are_16_bit_grey_unless_they_are_brighter(tmp_path):
    dark = Image.fromarray(np.array([[-5, 257, 65535]], dtype=np.int32))
    assert opened(tmp_path, dark, "a.tif")[0, :, 0].tolist() == [0, 1, 255]
    bright = Image.fromarray(np.array([[0, 50_000, 100_000]], dtype=np.int32))
    assert opened(tmp_path, bright, "a.tif")[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_are_scaled_by_the_white_level_that_fits(tmp_path, white):
    values = np.array([[-1, 0, 0.2, 0.8, np.nan]], dtype=np.float32) * white
    assert opened(tmp_path, Image.fromarray(values), "a.tif")[0, :, 0].tolist() == [0, 0, 51, 204, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_exif_orientation_is_undone(tmp_path, orientation, mode):
    # How a camera held in each of the eight ways stores the upright picture.
    stored = {
        1: lambda upright: upright,
        2: np.fliplr,
        3: lambda upright: np.rot90(upright, 2),
        4: np.flipud,
        5: lambda upright: upright.swapaxes(0, 1),
        6: lambda upright: np.rot90(upright, 1),
        7: lambda upright: np.rot90(upright, 2).swapaxes(0, 1),
        8: lambda upright: np.rot90(upright, -1),
    }[orientation]
    # Blocks of one flat colour each survive JPEG nearly unchanged.
    colours = np.array([[[250, 10, 10], [10, 250, 10], [10, 10, 250]], [[0, 0, 0], [99, 99, 99], [250, 250, 250]]])
    upright = colours.astype(np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.ascontiguousarray(stored(upright))).convert(mode)
    pixels = opened(tmp_path, picture, "a.jpg", exif=exif, quality=95, subsampling=0)
    expected = np.asarray(Image.fromarray(upright).convert(mode).convert("RGB"))
    assert pixels.shape == expected.shape
    centres = (slice(16, None, 32), slice(16, None, 32))
    assert np.abs(pixels[centres].astype(int) - expected[centres]).max() <= 6


def test_exif_orientation_of_16_bit_grey(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = opened(tmp_path, Image.fromarray(np.array([[0, 65535]], dtype=np.uint16)), exif=exif)
    assert pixels[:, :, 0].tolist() == [[0], [255]]


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, WHITE)]
    pixels = opened(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (pixels == RED).all()


def test_12_bit_grey_is_scaled_to_8(tmp_path):
    grey = np.array([[0, 273, 2048, 4095]], dtype=np.uint16)
    assert opened(tmp_path, Image.fromarray(grey))[0, :, 0].tolist() == [0, 17, 128, 255]


@pytest.mark.parametrize("suffix", picture_suffixes())
def test_every_suffix_can_be_read(tmp_path, suffix):
    kind = {".pbm": "PPM", ".mpo": "JPEG"}.get(suffix) or Image.registered_extensions()[suffix]
    assert kind in picture_formats()
    Image.new("L", (8, 8), 255).save(tmp_path / f"a{suffix}", kind)
    assert (np.asarray(open_picture(tmp_path / f"a{suffix}")) == 255).all()


@pytest.mark.parametrize("form", ["iTXt", "zTXt"])
def test_a_png_with_a_large_text_keeps_its_pixels(tmp_path, noise, form):
    text = PngInfo()
    (text.add_itxt if form == "iTXt" else text.add_text)("Comment", "x" * 2**21, zip=True)
    assert np.array_equal(opened(tmp_path, Image.fromarray(noise), pnginfo=text), noise)


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_keeps_its_pixels(tmp_path, noise, lost, progressive):
    large = Image.fromarray(np.tile(noise, (20, 20, 1)))
    whole = opened(tmp_path, large, "a.jpg", progressive=progressive)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-lost])
    assert np.array_equal(np.asarray(open_picture(tmp_path / "b.jpg")), whole)


@given(lost=st.integers(8, 2000), progressive=st.booleans())
@example(lost=705, progressive=True)  # it ends after a scan
@example(lost=1794, progressive=True)
@settings(max_examples=20, deadline=None)
def test_a_jpeg_that_lacks_pixels_is_refused(tmp_path_factory, lost, progressive):
    path = tmp_path_factory.mktemp("cut") / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, progressive=progressive)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(UserError, match="truncated"):
        open_picture(path)


def test_damaged_exif_is_reported_once_with_the_name(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(decode, "_warnings_shown", set())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise).save(tmp_path / "a.jpg", exif=exif.tobytes()[:-8])
    with pytest.warns(PeerdistillWarning, match=rf"picture '{tmp_path}/a\.jpg': Corrupt EXIF data") as told:
        found = [open_picture(tmp_path / "a.jpg") for _ in range(2)]
    assert [warning.category for warning in told] == [PeerdistillWarning]
    assert found[0] == found[1]


def test_large_pictures_are_shrunk_at_once_and_larger_ones_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "MANY_PIXELS", 40 * 40)
    monkeypatch.setattr(decode, "MOST_PIXELS", 80 * 80)
    for mode in ("1", "L", "RGB", "RGBA", "P", "I;16"):
        Image.new(mode, (60, 80), 1).save(tmp_path / "a.png")
        assert open_picture(tmp_path / "a.png").size == (15, 20), mode
    Image.new("RGB", (81, 80)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png': it has 81 x 80 pixels, the limit is .* megapixels: reduce its size"):
        open_picture(tmp_path / "a.png")
    Image.new("RGB", (160, 160), RED).save(tmp_path / "a.jpg")  # libjpeg shrinks while it decodes
    assert open_picture(tmp_path / "a.jpg").width <= 40


def test_the_size_limit_of_pillow_for_other_code_is_restored(tmp_path, noise, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    assert np.array_equal(opened(tmp_path, Image.fromarray(noise)), noise)
    assert Image.MAX_IMAGE_PIXELS == 4


@pytest.mark.parametrize("name", ["a.png", "a.eps"])
def test_postscript_is_no_picture(tmp_path, name):
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(UserError, match="it is not a picture"):
        open_picture(tmp_path / name)


def test_only_regular_files_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises(UserError, match=rf"{name}': it is not a regular file"):
            open_picture(tmp_path / name)
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UserError, match=r"sparse\.png': it has 1099511627776 bytes, the limit is 1073741824"):
        open_picture(tmp_path / "sparse.png")


def write_picture(path, noise):
    Image.fromarray(np.tile(noise, (20, 20, 1))).save(path)


def cut_short(path, noise):
    write_picture(path, noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage(path, noise):
    write_picture(path, noise)
    data = bytearray(path.read_bytes())
    data[60:80] = bytes(20)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "name", "reason"),
    [
        (lambda path, noise: path.write_text("not a picture"), "a.png", "it is not a picture"),
        (lambda path, noise: path.touch(), "a.jpg", "it is empty"),
        (
            lambda path, noise: path.write_bytes(HEIC),
            "a.jpg",
            "it is a HEIC picture, which cannot be decoded: convert it",
        ),
        (lambda path, noise: path.mkdir(), "a.png", "it is a directory"),
        (lambda path, noise: None, "absent.png", "no such file or directory"),
        (cut_short, "a.jpg", "truncated"),
        (cut_short, "a.png", "truncated"),
        (cut_short, "a.bmp", "truncated"),
        (damage, "a.png", "broken data stream"),
    ],
)
def test_unreadable_file_is_named(tmp_path, noise, spoil, name, reason):
    spoil(tmp_path / name, noise)
    with pytest.raises(UserError) as error:
        open_picture(tmp_path / name)
    assert str(error.value).startswith(f"cannot read picture '{tmp_path / name}': ")
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
