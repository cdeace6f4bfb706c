"""A small table in a CSV file: what data=table needs to be tried."""

from pathlib import Path

import numpy as np
import pandas as pd

CITIES = ["Bern", "Oslo", "Rome", "Lima", "Kyiv", "Bonn"]


def rows(num_rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Return rows whose class depends on the city and on whether they are small; some values are missing."""
    random = np.random.default_rng(seed)
    city, size = random.integers(len(CITIES), size=num_rows), random.normal(50, 20, num_rows)
    return pd.DataFrame(
        {
            "size": size,
            "age": np.where(random.random(num_rows) < 0.1, np.nan, random.integers(18, 90, num_rows)),
            "city": np.array(CITIES)[city],
            "married": random.choice([True, False], num_rows),
            "class": np.where((city % 2 == 0) ^ (size < 30), "good", "bad"),
        }
    )


def write(name: str, folder: Path) -> list[str]:
    """Write the files for a config of configs/data/ into a folder and return the overrides that make it use them."""
    rows().to_csv(folder / f"{name}.csv", index=False)
    return [f"data={name}", f"data.path='{folder / name}.csv'", "data.target=class"]
