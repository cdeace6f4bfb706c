"""Tiny files in the formats in which MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 are published."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np

NUM_CLASSES = {"mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100}
RAW = {"mnist": "MNIST/raw", "fashion_mnist": "FashionMNIST/raw"}

Samples = tuple[np.ndarray, np.ndarray]  # images (N, C, H, W), uint8, and labels (N,), uint8


def write(name: str, folder: Path) -> list[str]:
    """Write 20 images of each class, or 10 of a hundred, for training, and 2 for testing; return the overrides."""
    return write_samples(name, folder, *samples(name))


def samples(name: str) -> tuple[Samples, Samples]:
    """Return train and test: images that are brighter the higher their label."""
    num_classes, random = NUM_CLASSES[name], np.random.default_rng(0)
    splits = []
    for number in (max(200, 10 * num_classes), 2 * num_classes):
        labels = np.arange(number) % num_classes
        noise = random.integers(56, size=(number, 1, 28, 28) if name in RAW else (number, 3, 32, 32))
        images = noise + (200 * labels // num_classes).reshape(-1, 1, 1, 1)
        splits.append((images.astype(np.uint8), labels.astype(np.uint8)))
    return splits[0], splits[1]


def write_samples(name: str, folder: Path, train: Samples, test: Samples) -> list[str]:
    if name in RAW:
        files = {f"{RAW[name]}/{file}": content for file, content in idx_files(train, test).items()}
    elif name == "cifar10":
        batches = {f"data_batch_{i + 1}": (train[0][i::5], train[1][i::5]) for i in range(5)}
        files = {"cifar-10-python.tar.gz": tar("cifar-10-batches-py", batches | {"test_batch": test}, "labels")}
    else:
        files = {"cifar-100-python.tar.gz": tar("cifar-100-python", {"test": test, "train": train}, "fine_labels")}
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return [f"data={name}", f"data.root='{folder}'", "data.download=false"]


def idx_files(train: Samples, test: Samples) -> dict[str, bytes]:
    arrays = {}
    for split, (images, labels) in (("train", train), ("t10k", test)):
        arrays |= {f"{split}-images-idx3-ubyte.gz": images[:, 0], f"{split}-labels-idx1-ubyte.gz": labels}
    return {name: gzip.compress(idx(array), compresslevel=1) for name, array in arrays.items()}


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def tar(base_folder: str, batches: dict[str, Samples], label_key: str) -> bytes:
    pickles = {name: python_2_pickle(*batch, label_key) for name, batch in sorted(batches.items(), reverse=True)}
    return tar_of({f"{base_folder}/{name}": content for name, content in pickles.items()})


def tar_of(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz", compresslevel=1) as archive:
        for path, file in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(file)
            archive.addfile(member, io.BytesIO(file))
    return content.getvalue()


def python_2_pickle(images: np.ndarray, labels: np.ndarray, label_key: str) -> bytes:
    """Return the pickle of {"data": rows, label_key: labels} as Python 2 wrote it: its strings are bytes."""

    def string(text: bytes) -> bytes:
        return b"T" + len(text).to_bytes(4, "little") + text

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    rows = images.reshape(len(images), 3072)
    dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R(K\x03" + string(b"|")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + string(b"b") + b"\x87R(K\x01"
    array += number(rows.shape[0]) + number(rows.shape[1]) + b"\x86" + dtype + b"\x89" + string(rows.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(number, labels.tolist())) + b"e"
    return b"\x80\x02}(" + string(b"data") + array + string(label_key.encode()) + listed + b"u."
