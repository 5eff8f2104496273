"""The few kernel calls that Python doesn't wrap, made through the C library."""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_Argument = int | bytes | ctypes.Array[ctypes.c_char] | None


def prctl(option: int, value: int = 0, address: int = 0) -> int:
    """Call prctl; `OSError` if the kernel refuses."""
    return _checked(
        _libc.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(address), ctypes.c_ulong(0), ctypes.c_ulong(0))
    )


def madvise(address: int, length: int, advice: int) -> int:
    """Call madvise; `OSError` if the kernel refuses."""
    return _checked(_libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(advice)))


def syscall(number: int, *arguments: _Argument) -> int:
    """Make any system call; `OSError` if the kernel refuses."""
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
