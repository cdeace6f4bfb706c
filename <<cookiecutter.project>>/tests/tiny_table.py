"""A small table in a CSV file: what data=table needs to be tried."""

from pathlib import Path

import numpy as np
import pytest

CHOICES = ("data=table",)


def write(choice: str, folder: Path) -> list[str]:
    """Write 300 rows whose class depends on the city and the size, and return the overrides that have them read."""
    pd = pytest.importorskip("pandas", reason=f"{choice} needs the package pandas")
    random = np.random.default_rng(0)
    city, size = random.integers(4, size=300), random.normal(50, 20, 300)
    age = np.where(random.random(300) < 0.1, np.nan, random.integers(18, 90, 300))  # missing in some rows
    label = np.where((city % 2 == 0) ^ (size < 30), "good", "bad")
    table = pd.DataFrame({"size": size, "age": age, "city": np.array(["Bern", "Oslo", "Rome", "Lima"])[city]})
    table.assign(**{"class": label}).to_csv(folder / "table.csv", index=False)
    return [choice, f"data.path='{folder / 'table.csv'}'", "data.target=class"]
