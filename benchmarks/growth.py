"""How the cost of a generated project grows: each work at three sizes, ours and the same by hand in turn.

python benchmarks/growth.py tables                              # every work on tables: CSV, Parquet and splits alone
python benchmarks/growth.py tables --works long_csv --sizes 10000 100000
python benchmarks/growth.py tables --pairs 5

A line is CPU seconds of ours and by hand, each in a fresh process of one thread without its imports, the ratio, and the peak memory
beyond the imports, all as medians over the pairs. The exponent is that of the growth from the least to the greatest size.
A work is three functions of its name: `<work>_files` writes what is read, `<work>_ours` and `<work>_by_hand` prepare it, and return
what is to be timed.
"""

import argparse
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOMS = {
    "tables": {
        "long_csv": (10**4, 10**5, 10**6),
        "wide_csv": (10**3, 10**4, 10**5),
        "many_categories": (10**4, 10**5, 10**6),
    }
}
ROOMS["tables"]["splits"] = (10**5, 10**6, 10**7)
WHAT = {
    "long_csv": "CSV, rows x 20 columns, to the first batch",
    "wide_csv": "CSV, rows x 500 columns, to the first batch",
    "many_categories": "Parquet, rows x 11 columns, a category for every tenth row, to the first batch",
    "splits": "splits alone, rows of three classes: drawn, and no row in two of them",
}
GOALS = {"long_csv": "1.4x", "wide_csv": "1.3x", "many_categories": "1.5x", "splits": "3 s, 300 MB"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--works", nargs="*")
    parser.add_argument("--sizes", nargs="*", type=int)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--time", nargs=4, metavar=("WORK", "WHOSE", "SIZE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.time:
        print(*timed(*arguments.time))
        return
    with tempfile.TemporaryDirectory() as folder:
        cookiecutter(
            str(Path(__file__).parent.parent), no_input=True, output_dir=folder, extra_context={"data": "both"}
        )
        for work in arguments.works or ROOMS[arguments.room]:
            print(f"{WHAT[work]} (goal {GOALS[work]})")
            grow(arguments.room, work, arguments.sizes or ROOMS[arguments.room][work], arguments.pairs, folder)


def grow(room: str, work: str, sizes: list[int], pairs: int, folder: str) -> None:
    """Print a line for each size, and the exponents."""
    ends = []
    for size in sizes:
        globals()[f"{work}_files"](size, Path(folder))
        found: dict[str, list[tuple[float, float]]] = {"ours": [], "by_hand": []}
        for number in range(pairs):
            for whose in ("ours", "by_hand") if number % 2 else ("by_hand", "ours"):
                command = [sys.executable, __file__, room, "--time", work, whose, str(size), folder]
                env = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_NUM_THREADS": "1"}
                printed = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
                seconds, memory = map(float, printed.split()[-2:])
                found[whose].append((seconds, memory))
        ratios = [a[0] / b[0] for a, b in zip(found["ours"], found["by_hand"], strict=True)]
        (ours, our_peak), (by_hand, their_peak) = (
            [statistics.median(x) for x in zip(*rows, strict=True)] for rows in found.values()
        )
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(
            f"  {size:>10,}: {ours:.2f} s, by hand {by_hand:.2f} s: {ratio}; {our_peak:.0f} MB, by hand {their_peak:.0f} MB",
            flush=True,
        )
        ends.append((size, ours, by_hand))
    (least, *first), (most, *last) = ends[0], ends[-1]
    if most > least:
        exponents = [math.log(b / a) / math.log(most / least) for a, b in zip(first, last, strict=True)]
        print(f"  exponent {exponents[0]:.2f}, by hand {exponents[1]:.2f}")


def timed(work: str, whose: str, size: str, folder: str) -> tuple[float, float]:
    """Do a work in this process; return its CPU seconds and the megabytes by which its memory rose at most."""
    sys.path.insert(0, f"{folder}/my-project")
    do = globals()[f"{work}_{whose}"](int(size), Path(folder))
    before, began = peak(), time.process_time()
    do()
    return time.process_time() - began, peak() - before


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def table(rows: int, numbers: int, categories: int):
    """Return a table of numbers, some missing, of categories of 5 to 24 texts, and of a class."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(0)
    columns = {f"number {n}": random.normal(50, 20, rows).round(3) for n in range(numbers)}
    columns["number 0"][random.random(rows) < 0.1] = np.nan
    for n in range(categories):
        columns[f"category {n}"] = np.array([f"text {k}" for k in range(5 + n % 20)])[
            random.integers(5 + n % 20, size=rows)
        ]
    columns["class"] = np.array(["bad", "fair", "good"])[random.integers(3, size=rows)]
    return pd.DataFrame(columns)


def table_ours(path: Path) -> Callable[[], object]:
    import my_project.engine  # noqa: F401  (before torch, as in train.py)
    from my_project.data.tables.table import Table

    return lambda: next(iter(Table(str(path), "class", batch_size=128).train_dataloader()))


def table_by_hand(path: Path) -> Callable[[], object]:
    """Read, draw the splits, fill and standardize numbers by the training rows, code categories, and make tensors."""
    import numpy as np
    import pandas as pd
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def splits() -> dict[str, TensorDataset]:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        labels = torch.from_numpy(frame.pop("class").astype("category").cat.codes.to_numpy(dtype=np.int64))
        test, val, train = np.split(
            np.random.default_rng(0).permutation(len(frame)), [len(frame) // 5, len(frame) * 3 // 10]
        )
        texts = frame.select_dtypes(exclude="number").columns
        numbers = frame.drop(columns=texts)
        known = numbers.iloc[train]
        numbers = ((numbers - known.mean()) / known.std()).fillna(0).to_numpy(dtype=np.float32, copy=True)
        codes = np.stack(
            [frame[name].astype("category").cat.codes.to_numpy(dtype=np.int64) + 1 for name in texts], axis=1
        )
        tensors = torch.from_numpy(numbers), torch.from_numpy(codes), labels
        return {
            name: TensorDataset(*(x[rows] for x in tensors))
            for name, rows in (("train", train), ("val", val), ("test", test))
        }

    return lambda: next(iter(DataLoader(splits()["train"], batch_size=128, shuffle=True)))


def long_csv_files(size: int, folder: Path) -> None:
    table(size, numbers=14, categories=5).to_csv(folder / f"long{size}.csv", index=False)


def long_csv_ours(size: int, folder: Path) -> Callable[[], object]:
    return table_ours(folder / f"long{size}.csv")


def long_csv_by_hand(size: int, folder: Path) -> Callable[[], object]:
    return table_by_hand(folder / f"long{size}.csv")


def wide_csv_files(size: int, folder: Path) -> None:
    table(size, numbers=450, categories=49).to_csv(folder / f"wide{size}.csv", index=False)


def wide_csv_ours(size: int, folder: Path) -> Callable[[], object]:
    return table_ours(folder / f"wide{size}.csv")


def wide_csv_by_hand(size: int, folder: Path) -> Callable[[], object]:
    return table_by_hand(folder / f"wide{size}.csv")


def many_categories_files(size: int, folder: Path) -> None:
    import numpy as np

    texts = np.array([f"item {n}" for n in range(size // 10)])[np.random.default_rng(1).integers(size // 10, size=size)]
    table(size, numbers=9, categories=0).assign(item=texts).to_parquet(folder / f"many{size}.parquet")


def many_categories_ours(size: int, folder: Path) -> Callable[[], object]:
    return table_ours(folder / f"many{size}.parquet")


def many_categories_by_hand(size: int, folder: Path) -> Callable[[], object]:
    return table_by_hand(folder / f"many{size}.parquet")


def splits_files(size: int, folder: Path) -> None:
    """Nothing is read: the rows are made in the process."""


def samples(size: int) -> tuple:
    import numpy as np

    random = np.random.default_rng(0)
    return random.normal(size=(size, 2)).astype(np.float32), random.integers(3, size=size)


def splits_ours(size: int, folder: Path) -> Callable[[], object]:
    import torch
    from my_project.data.split import draw
    from my_project.engine.checks.data import check_splits
    from torch.utils.data import DataLoader, TensorDataset

    rows, labels = samples(size)
    parts = [*zip(("train", "val", "test"), map(torch.from_numpy, np_split(rows)), strict=True)]
    loaders = {name: DataLoader(TensorDataset(part, torch.zeros(len(part)))) for name, part in parts}
    return lambda: (draw(labels, {"test": 0.2, "val": 0.1}, seed=0), [*check_splits(loaders)])


def splits_by_hand(size: int, folder: Path) -> Callable[[], object]:
    """Draw the same share of each class, and compare the rows of the splits with pandas."""
    import numpy as np
    import pandas as pd

    rows, labels = samples(size)
    parts = np_split(rows)

    def do() -> None:
        random = np.random.default_rng(0)
        places = [random.permutation(np.flatnonzero(labels == label)) for label in range(3)]
        cut = [np.split(x, [len(x) // 5, len(x) * 3 // 10]) for x in places]
        [np.sort(np.concatenate(x)) for x in zip(*cut, strict=True)]
        hashes = [pd.util.hash_pandas_object(pd.DataFrame(part), index=False) for part in parts]
        [a.isin(b).any() for a, b in ((hashes[1], hashes[0]), (hashes[2], hashes[0]), (hashes[2], hashes[1]))]

    return do


def np_split(rows) -> list:
    import numpy as np

    return np.split(rows, [len(rows) * 7 // 10, len(rows) * 8 // 10])


if __name__ == "__main__":
    main()
