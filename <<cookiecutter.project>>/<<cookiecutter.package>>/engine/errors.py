"""The error for a mistake that the user can mend."""

from hydra.errors import CompactHydraException


class ConfigError(CompactHydraException, ValueError):
    """A wrong value in the config or on the command line.

    Hydra prints its message without a traceback and exits with code 1; any other exception keeps its
    traceback. The message says which key, what it got and what is allowed. `HYDRA_FULL_ERROR=1` shows
    the traceback of this one too.
    """
