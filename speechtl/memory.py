"""What a process holds."""

from __future__ import annotations

import contextlib
import ctypes
import os

__all__ = ["give_back", "keep_few_kernels"]


def keep_few_kernels() -> None:
    """Let torch keep 64 of the kernels that it makes for each new shape on a CPU, not 1024.

    Where every batch has a length of its own they grow to 400 MB over hours of speech, and few are
    ever used again. It only has an effect before the first of them is made (oneDNN, "Primitive
    cache").
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")


def give_back() -> None:
    """Give freed memory back to the system where the C library would keep it, as glibc does.

    It keeps what lies between blocks still in use. Batches of ever other sizes thus cost 300 MB in
    an hour and a half of speech.
    """
    with contextlib.suppress(OSError, AttributeError):  # another system, another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
