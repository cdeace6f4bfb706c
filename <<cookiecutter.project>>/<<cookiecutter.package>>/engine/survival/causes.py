"""What ended a run, in words: the likely cause of an error of the system or of a library, and the remedy."""

import re

from lightning.fabric.utilities.exceptions import MisconfigurationException

from <<cookiecutter.package>>.engine.errors import ConfigError, TrainingError

# The first pattern that is found in the type and the text of an error.
CAUSES = {
    r"Too many open files|items of ancdata": "too many files are open: raise the limit (`ulimit -n 65536`) or lower "
    "data.num_workers",
    r"shared memory|Bus error|torch_\d+_.*No space left": "the shared memory of the loader's processes, /dev/shm, is full: "
    "enlarge it (`docker run --shm-size=8g`) or lower data.num_workers or data.batch_size",
    r"out of memory|^MemoryError|(can't|[Cc]annot|[Uu]nable to|failed to) allocate|not enough memory": "the memory is full: "
    "lower data.batch_size, data.eval_batch_size or data.num_workers, or choose a smaller model",
    r"No space left on device": "a disk, or /dev/shm, is full: make room",
    r"start new thread|Resource temporarily unavailable": "no further process or thread may be started: raise the limit "
    "(`ulimit -u`) or lower data.num_workers",
    r"worker.*(exited unexpectedly|killed by signal)|Pin memory thread exited": "a process of the loader was killed, mostly "
    "because the memory is full: lower data.num_workers or data.batch_size",
    r"^(Runtime|DistBackend)Error.*(by peer|remote process exited|Socket)": "another process of this run has ended: its own "
    "message says why; without one it was killed, mostly because the memory is full: lower data.batch_size",
}


def explained(error: BaseException) -> BaseException:
    """Return an error of a library as one that says what to do; any other as it is."""
    if isinstance(error, MisconfigurationException):  # Lightning refuses what it was asked to do
        return ConfigError(str(error))
    if isinstance(error, OSError | MemoryError | RuntimeError) and not isinstance(error, TrainingError):
        text = f"{type(error).__name__}: {error}"
        for pattern, cause in CAUSES.items():
            if found := re.search(f".*({pattern}).*", text):
                return TrainingError(f"{cause}. The same command continues the run\n({found[0].strip()})")
    return error
