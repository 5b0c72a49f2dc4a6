"""Faults of the machine, such as a full disk or too little memory, as sentences for the user."""

from __future__ import annotations

import errno
import os
import re

AGAIN = "Run the same command again to continue."
_MEMORY = re.compile(
    r"can't allocate memory|out of memory|not enough memory|Cannot allocate memory"
    r"|Storage size calculation overflowed|array is too big|bad_alloc",
    re.IGNORECASE,
)
"""Messages of torch and NumPy when memory cannot be allocated."""
_WORKER = re.compile(
    r"DataLoader worker \(pid\(?s?\)? ?[\d, ]+\) (is killed|exited)|process pool was terminated"
)
"""Messages about a process that reads or decodes and that ended."""
_PEER = re.compile(r"\bgloo/|Connection closed by peer")
"""Messages about another process of ``torchrun`` that does not answer."""
_CODE = re.compile(r"(?:\bos error |\[Errno )(\d+)\b")
"""Errors of the operating system in messages of libraries in Rust and of worker processes."""
_REMEDIES = {
    errno.ENOSPC: f"Make room on the disk. {AGAIN}",
    errno.EDQUOT: f"Make room in the quota. {AGAIN}",
    errno.EROFS: "Choose another folder, which can be written.",
    errno.EACCES: "Change its permissions, or choose another folder.",
    errno.EPERM: "Change its permissions, or choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name or folder.",
    errno.ENOENT: f"It may have been moved or deleted while the command ran. {AGAIN}",
    errno.EMFILE: "Raise the limit of open files (ulimit -n), or use fewer workers.",
    errno.ENOTDIR: "Choose another folder.",
    errno.EIO: f"The disk or its connection failed. {AGAIN}",
    errno.ESTALE: f"The connection to the disk was lost. {AGAIN}",
}
"""Ways out by error of the operating system."""
_NO_MEMORY = (
    "the memory of the machine must suffice, found too little. Use a smaller train.batch_size or "
    f"train.eval_batch_size, more train.accumulate, fewer workers or a smaller model. {AGAIN}"
)
_GONE = (
    "another process of this training has ended or cannot be reached, and this one cannot go on "
    f"without it. If the other one printed a message, it says why. {AGAIN}"
)
_DEAD_WORKER = (
    "a process that reads data was ended by the machine, often because memory ran out or by "
    f"kill. {AGAIN} Fewer workers need less memory."
)


def machine_fault(error: BaseException) -> str | None:
    """Return the sentence for a fault of the machine, or None for another error.

    Args:
        error: The error. The errors that it was raised from are tried too.

    Example:
        >>> machine_fault(OSError(errno.ENOSPC, "No space left on device", "runs/a/result.json"))
        'cannot use runs/a/result.json: no space left on device. Make room on the disk. Run ...'
        >>> machine_fault(KeyError("a"))
    """
    if isinstance(error, BrokenPipeError):  # the reader of the output has enough: no fault
        return None
    one: BaseException | None = error
    while one is not None:
        if (sentence := _sentence(one)) is not None:
            return sentence
        one = one.__cause__
    return None


def _sentence(error: BaseException) -> str | None:
    message = str(error)
    if isinstance(error, RuntimeError) and _PEER.search(message):
        return _GONE
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    number, file = getattr(error, "errno", None), getattr(error, "filename", None)
    if number is None and (code := _CODE.search(message)):
        number = int(code[1])
    if number == errno.ENOMEM:
        return _NO_MEMORY
    if isinstance(number, int):
        return _of_system(number, os.strerror(number), file)
    if isinstance(error, OSError):
        return _of_system(None, message.strip().rpartition("\n")[2], file)
    if isinstance(error, RuntimeError) and _WORKER.search(message):
        return _DEAD_WORKER
    if isinstance(error, RuntimeError | ValueError) and _MEMORY.search(message):
        return _NO_MEMORY
    if isinstance(error, ValueError) and "embedded null" in message:
        return "a path must not contain a zero byte, found one. Choose another name."
    return None


def _of_system(number: int | None, reason: str, file: object = None) -> str:
    place = "a file" if file is None else os.fsdecode(file) if isinstance(file, bytes) else file
    remedy = _REMEDIES.get(number or 0, AGAIN)
    return f"cannot use {place}: {reason[:1].lower()}{reason[1:].rstrip('.')}. {remedy}"
