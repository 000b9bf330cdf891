"""Both ways that the benchmark compares make the same batches."""

import pytest
import torch
from PIL import Image

from peerdistill.data.normaliser import Normaliser


def test_torchvisions_way_makes_images_that_ours_may_make(benchmark, monkeypatch):
    data = benchmark("data")
    monkeypatch.setattr(data, "SAMPLES", 64)
    dataset = data.noise_dataset()
    (batch,) = data.our_batches(dataset).epoch(0)
    image, label = data.Transformed(dataset.train)[5]
    assert (image.shape, image.dtype) == (batch.images.shape[1:], batch.images.dtype)
    assert label == dataset.train.labels[5]
    bordered = torch.nn.functional.pad(dataset.train.images[5:6], [data.PADDING] * 4)
    normalised = Normaliser(dataset, torch.device("cpu"))(bordered)[0]
    crops = normalised.unfold(1, 32, 1).unfold(2, 32, 1).permute(1, 2, 0, 3, 4).flatten(0, 1)
    differences = torch.stack([(crops - view).abs().amax(dim=(1, 2, 3)) for view in (image, image.flip(-1))])
    assert differences.min() < 1e-5


@pytest.mark.parametrize("found", [True, False])
def test_photographs_are_written(benchmark, monkeypatch, tmp_path, found):
    data = benchmark("data")
    monkeypatch.setattr(data, "PHOTOGRAPHS", 10)
    source = tmp_path / "source"
    (source / "rose").mkdir(parents=True)
    Image.radial_gradient("L").convert("RGB").save(source / "rose" / "1.jpg")
    folder = tmp_path / "photographs"
    folder.mkdir()
    assert data.write_photographs(folder, source if found else None) > 1000
    files = list(folder.glob("*/*.jpg"))
    assert (len(files), len(list(folder.iterdir()))) == (10, data.PHOTO_CLASSES)
    assert {Image.open(file).size for file in files} == {data.EXTENT}
    assert len({file.read_bytes() for file in files}) == 10
