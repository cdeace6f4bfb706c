"""Penguins that come with the project, in penguins.csv: numbers, categories and missing values, without a download.

Source: Gorman, Williams and Fraser, Ecological Sexual Dimorphism and Environmental Variability within a Community of
Antarctic Penguins (Genus Pygoscelis), PLOS ONE, 2014; the file is that of palmerpenguins. License: CC0.
"""

from pathlib import Path
from typing import Any

from <<cookiecutter.package>>.data.tables.table import Table


class Penguins(Table):
    """344 penguins of three species: island, bill, flipper, mass, sex and year.

    Args:
        target: column to predict.
        path: of other rows; None: those of penguins.csv.
        table: task, drop, batch_size and the like of Table.
    """

    def __init__(self, target: str = "species", path: str | None = None, **table: Any) -> None:
        super().__init__(path or str(Path(__file__).with_name("penguins.csv")), target, **table)
