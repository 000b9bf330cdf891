"""Few-shot learning: name classes that were never seen in training, from a few examples of each.

The peers learn to compare images of some classes. The leader then tells new classes apart, given five pictures of each.
Here four digits of scikit-learn are training classes, three are validation classes, and the other three are new.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import peerdistill as pdl
from peerdistill.deploy import predict

SEEN, NEW = range(7), range(7, 10)


def write_digits(folder: Path, digits: range, rows: slice) -> list[Path]:
    """Write pictures of 16 x 16 pixels to one folder per digit."""
    pixels, labels = load_digits(return_X_y=True)
    images = np.rint(pixels.reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    files = []
    for digit in digits:
        (folder / str(digit)).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images[labels == digit][rows]):
            files.append(folder / str(digit) / f"{number}.png")
            Image.fromarray(image).resize((16, 16)).save(files[-1])
    return files


def main(folder: str | Path = "runs/few-shot", episodes: int = 60) -> float:
    """Train on seven digits, and return the accuracy on three others."""
    folder = Path(folder)
    for split, digits in (("train", SEEN[:4]), ("val", SEEN[4:]), ("test", NEW)):
        write_digits(folder / "digits" / split, digits, slice(None, 60))
    run = pdl.train(
        folder / "digits",
        kind="episodes",
        run=folder / "run",
        **{"backbone": "conv4", "image_size": 16, "method": "dml", "sharing": "network", "peers": 2},
        **{"ways": 4, "shots": 1, "queries": 5, "episodes": episodes, "episodes_per_epoch": 30},
        **{"validation.ways": 3, "validation.episodes": 20, "test.ways": 3, "test.episodes": 50},
    )
    encoder = folder / "encoder.onnx"
    run.export("onnx", encoder)

    write_digits(folder / "examples", NEW, slice(5))
    questions = write_digits(folder / "questions", NEW, slice(60, 80))
    answers = predict(encoder, questions, support=folder / "examples")
    accuracy = np.mean([answer.classes[0] == answer.path.parent.name for answer in answers])
    print(f"{accuracy:.1%} of {len(questions)} pictures of {len(NEW)} new digits, from 5 examples each")
    return float(accuracy)


if __name__ == "__main__":
    main()
