"""The machinery: each guarantee is one file here and one entry in configs/."""

import os

# Large tensors in large pages of memory, on Linux: a batch of photographs is normalized three times as fast on a CPU.
# torch reads this when it makes its first tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
