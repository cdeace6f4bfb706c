"""No sample stands in two splits."""

import math
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np

from .batch import fingerprint, inputs_and_labels
from .finding import Finding
from .samples import Samples, loaders_of, paths_of, rows_of, samples_of

ORDER = "train val test"
NAMED = 5  # samples named in a message
COLUMNS = 64  # numbers: those of a sample of more, such as an image, are taken to have the same values
FEW = 16  # numbers: two samples of fewer may be equal by chance
CHUNK = 2**16  # words hashed at once, to stay in the cache
SPREAD = np.uint64(0x9E3779B97F4A7C15)  # odd: no bit of a word is lost (Knuth, The Art of Computer Programming 3, 6.4)


def check_splits(loaders: dict[str, Any], max_bytes: float, deadline: float = 0.0) -> Iterator[Finding]:
    """Compare the samples of each two splits by path, by content, or by their place in a dataset that both share.

    Args:
        loaders: by split.
        max_bytes: of the arrays of two splits; content of more is not compared.
        deadline: in `time.monotonic()`; until then samples are loaded where nothing else tells them apart.
    """
    samples = {split: [s for s in map(samples_of, loaders_of(loader)) if s] for split, loader in loaders.items()}
    for first, second in combinations(sorted(samples, key=ORDER.find), 2):
        for a in samples[first]:
            for b in samples[second]:
                keys = keys_of(a, b, max_bytes, deadline)
                places = dict(zip(keys[0], a.names.tolist(), strict=False))
                pairs = [(places[k], name) for k, name in zip(keys[1], b.names.tolist(), strict=False) if k in places]
                few = 0 < sum(array[:1].size for array in rows_of(a.base)) < FEW
                smaller = min(len(a.names), len(b.names))
                if pairs:
                    yield shared(first, second, pairs, smaller, warning=few and len(pairs) < 0.1 * smaller)


def shared(first: str, second: str, pairs: list[tuple[int, int]], smaller: int, warning: bool) -> Finding:
    examples = ", ".join(f"{first} {a} = {second} {b}" for a, b in pairs[:NAMED])
    examples += ", ..." if len(pairs) > NAMED else ""
    number = f"{len(pairs)} samples stand" if len(pairs) > 1 else "1 sample stands"
    return Finding(
        "splits",
        f"{first}/{second}",
        what=f"{number} in both {first} and {second}, {len(pairs) / smaller:.1%} of the smaller one: {examples}",
        effect=f"the score on {second} would count as skill what the model has learnt by heart",
        remedy="remove copies first, then split once, with a seed of its own, so that each sample goes to one split",
        warning=warning,
    )


def keys_of(a: Samples, b: Samples, max_bytes: float, deadline: float) -> tuple[list[Any], list[Any]]:
    """Return what tells the samples of two splits apart; empty where nothing does."""
    paths, other_paths = paths_of(a.base), paths_of(b.base)
    if paths and other_paths:
        return [paths[i] for i in a.indices], [other_paths[i] for i in b.indices]
    rows, other_rows = rows_of(a.base), rows_of(b.base)
    num_bytes = sum(array.nbytes for array in (*rows, *other_rows))
    comparable = rows and len(rows) == len(other_rows) and num_bytes <= max_bytes
    if comparable and not may_be_equal_by_chance(rows, len(a.names) * len(b.names)):
        return row_keys(rows, a.indices), row_keys(other_rows, b.indices)
    if a.base is b.base:
        return a.indices.tolist(), b.indices.tolist()
    if not rows and time.monotonic() < deadline and not is_random(a) and not is_random(b):
        return item_keys(a, deadline), item_keys(b, deadline)
    return [], []


def may_be_equal_by_chance(rows: list[np.ndarray], pairs: int) -> bool:
    """Say whether so few different samples can be made of the numbers that occur, that some are bound to be equal."""
    needed = math.log(100 * pairs)
    capacity = 0.0  # natural logarithm of the number of different samples
    for array in rows:
        table = array.reshape(len(array), -1)[:: -(-len(array) // 10_000) or 1]
        for columns in table.T if table.shape[1] <= COLUMNS else [table]:
            values = columns.ravel()[:: -(-columns.size // 10_000) or 1]
            distinct = len(np.unique(values))
            capacity += array[:1].size / (1 if columns is table else table.shape[1]) * math.log(distinct)
            if capacity >= needed or distinct > 0.9 * len(values):  # of continuous numbers
                return False
    return True


def row_keys(rows: list[np.ndarray], indices: np.ndarray) -> list[int]:
    """Return a 64-bit hash of the content of each row; of several arrays, of the rows together."""
    keys = np.zeros(len(rows[0]), dtype=np.uint64)
    random = np.random.default_rng(0)
    for array in rows:
        content = np.ascontiguousarray(array).reshape(len(array), -1).view(np.uint8)
        content = content.view(np.uint32) if content.shape[1] % 4 == 0 else content
        weights = random.integers(2**64, size=content.shape[1], dtype=np.uint64)
        step = max(1, CHUNK // content.shape[1])
        for start in range(0, len(content), step):
            words = content[start : start + step] * SPREAD
            keys[start : start + step] += (words ^ words >> np.uint64(32)) @ weights
    return keys[indices].tolist()


def is_random(samples: Samples) -> bool:
    """Say whether a sample differs when it is loaded again."""
    first, second = ([inputs_and_labels(samples.base[int(i)])[0] for i in samples.indices[:4]] for _ in range(2))
    return fingerprint(first) != fingerprint(second)


def item_keys(samples: Samples, deadline: float) -> list[int]:
    """Return a hash of each sample that is loaded before the deadline."""
    keys = []
    for index in samples.indices:
        if time.monotonic() > deadline:
            break
        keys.append(fingerprint(inputs_and_labels(samples.base[int(index)])[0], values=10**9))
    return keys
