"""The error for a mistake that the user can mend."""


class ConfigError(SystemExit):
    """A wrong value in the config or on the command line; the message says which key, what it got and what is allowed.

    As a SystemExit it ends the program with its message, without a traceback and with exit code 1; any other
    exception keeps its traceback.
    """
