"""What differs between Hydra 1.3 and Hydra 1.4; build.py has the rest."""

from typing import Any

import hydra

HYDRA_1_3 = hydra.__version__.startswith("1.3.")

# For hydra.main: without it 1.3 falls back to the behaviour of 1.1; with it 1.4 warns.
VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if HYDRA_1_3 else {}
