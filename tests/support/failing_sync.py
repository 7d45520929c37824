"""A thread whose fdatasync fails, as on a broken disk: the kernel filters its system calls."""

import ctypes
import errno
import platform
import struct
from typing import Final

_NUMBERS: Final = {"x86_64": 75, "aarch64": 83}  # of fdatasync
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_LOAD, _IS_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_FAIL, _ALLOW = 0x00050000 | errno.EIO, 0x7FFF0000


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def fail_every_sync() -> bool:
    """Of the calling thread, to its end. False where the system does not allow it."""
    if (number := _NUMBERS.get(platform.machine())) is None or platform.system() != "Linux":
        return False
    instructions = (
        (_LOAD, 0, 0, 0),
        (_IS_EQUAL, 0, 1, number),
        (_RETURN, 0, 0, _FAIL),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    return not prctl(_SET_SECCOMP, _FILTER, ctypes.byref(_Program(len(instructions), code)))
