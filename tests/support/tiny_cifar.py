"""A small CIFAR whose checksums torchvision takes for the public ones."""

import hashlib
import io
import pickle
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100


def pixel_rows(count: int, seed: int) -> np.ndarray:
    """As in the public files: a row is the red plane, then the green, then the blue one."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3 * 32 * 32), dtype=np.uint8)


def tiny_files(reader: type[CIFAR10]) -> dict[str, bytes]:
    """The files of the public layout with ten images in each."""
    names = [f"class{number}" for number in range(10)]
    labels_key = "fine_labels" if reader is CIFAR100 else "labels"
    content: dict[str, object] = {
        name: {"data": pixel_rows(20, seed), labels_key: list(range(10)) * 2}
        for seed, (name, _) in enumerate(reader.train_list + reader.test_list)
    }
    content[reader.meta["filename"]] = {reader.meta["key"]: names}
    return {name: pickle.dumps(value) for name, value in content.items()}


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def pretend_public(reader: type[CIFAR10], monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Let torchvision expect a small CIFAR, and return its archive."""
    files = tiny_files(reader)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for file, data in files.items():
            member = tarfile.TarInfo(f"{reader.base_folder}/{file}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    monkeypatch.setattr(reader, "train_list", [[file, md5(files[file])] for file, _ in reader.train_list])
    monkeypatch.setattr(reader, "test_list", [[file, md5(files[file])] for file, _ in reader.test_list])
    meta = reader.meta["filename"]
    monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5(files[meta])})
    monkeypatch.setattr(reader, "tgz_md5", md5(buffer.getvalue()))
    return buffer.getvalue()
