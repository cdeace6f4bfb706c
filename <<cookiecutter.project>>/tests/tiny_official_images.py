"""Tiny files in the formats in which MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 are published."""

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

MNIST = {"data=mnist": "MNIST", "data=fashion_mnist": "FashionMNIST"}
CHOICES = (*MNIST, "data=cifar10", "data=cifar100")
Samples = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W), uint8, and labels (N,), uint8


def write(choice: str, folder: Path) -> list[str]:
    """Write 10 images of each class for training and 2 for testing; return the overrides that have them read."""
    pytest.importorskip("torchvision", reason=f"{choice} needs the package torchvision")
    num_classes, shape = 100 if choice == "data=cifar100" else 10, (1, 28, 28) if choice in MNIST else (3, 32, 32)
    train, test = (samples(num_classes, number, shape) for number in (10, 2))
    if choice in MNIST:
        raw = folder / MNIST[choice] / "raw"
        raw.mkdir(parents=True)
        for split, arrays in (("train", train), ("t10k", test)):
            for kind, array in zip(("images-idx3", "labels-idx1"), arrays, strict=True):
                (raw / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array.squeeze())))
    elif choice == "data=cifar10":
        batches = {f"data_batch_{i + 1}": (train[0][i::5], train[1][i::5]) for i in range(5)}
        write_tar(folder / "cifar-10-python.tar.gz", batches | {"test_batch": test}, "labels")
    else:
        write_tar(folder / "cifar-100-python.tar.gz", {"train": train, "test": test}, "fine_labels")
    return [choice, f"data.root='{folder}'", "data.download=false"]


def samples(num_classes: int, number: int, shape: tuple[int, ...]) -> Samples:
    """Return so many images of each class, brighter the higher their label."""
    labels = np.arange(num_classes * number) % num_classes
    noise = np.random.default_rng(number).integers(56, size=(len(labels), *shape))
    return (noise + (200 * labels // num_classes).reshape(-1, 1, 1, 1)).astype(np.uint8), labels.astype(np.uint8)


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def write_tar(path: Path, batches: dict[str, Samples], label_key: str) -> None:
    with tarfile.open(path, mode="w:gz") as archive:
        for name, (images, labels) in batches.items():
            content = pickle.dumps({b"data": images.reshape(-1, 3072), label_key.encode(): labels.tolist()}, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
