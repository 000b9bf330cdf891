"""Train on your own `torch.utils.data.Dataset`.

The items of the data set are `(image, label)`. Images are PIL images, uint8 arrays, or floats in 0..1, without random
transforms and without normalisation: peerdistill does both. This data set draws bars in four directions.
"""

from pathlib import Path

from PIL import Image, ImageDraw
from torch.utils.data import Dataset

import peerdistill as pdl


class Bars(Dataset):
    """Pictures of a bar; the label is its direction."""

    classes = ("horizontal", "vertical", "falling", "rising")  # class names, as in torchvision's data sets
    ends = (((0, 8), (16, 8)), ((8, 0), (8, 16)), ((0, 0), (16, 16)), ((0, 16), (16, 0)))

    def __init__(self, count: int, first: int = 0):
        self.numbers = range(first, first + count)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, item: int) -> tuple[Image.Image, int]:
        number = self.numbers[item]
        label = number % 4
        picture = Image.new("RGB", (16, 16), (number % 60, number % 50, number % 40))
        start, end = self.ends[label]
        ImageDraw.Draw(picture).line((start, end), fill=(255, 255 - number % 90, 200), width=2 + number % 3)
        return picture, label


def main(folder: str | Path = "runs/bars", epochs: int = 10) -> pdl.Run:
    """Train on 200 bars, test on 40 others, and classify one more."""
    run = pdl.train(
        Bars(200),
        test=Bars(40, first=200),
        backbone="resnet8",
        image_size=16,
        flip=False,  # a mirrored rising bar is a falling one
        method="dml",
        peers=2,
        batch_size=20,
        epochs=epochs,
        run=folder,
    )
    print(f"leader: {run.evaluate()['leader']['top1']:.1f} % of 40 bars")
    (answer,) = run.predict([Bars(1, first=241)[0][0]])
    print(f"a vertical bar is {answer.classes[0]} with probability {answer.probabilities[0]:.2f}")
    return run


if __name__ == "__main__":
    main()
