"""Judges what went wrong on a connection: was anything done, and may it be tried again?"""

import asyncio
from typing import Final

import asyncpg

# What comes of a lost connection, of one that does not answer and of a server that ends or begins.
LOST: Final = (OSError, asyncio.TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
ANY: Final = (*LOST, asyncpg.PostgresError)

_COLLISION: Final = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
# 22: of data, 23: of constraints, 54: of limits, such as a row that is too large.
_CLASSES_OF_BAD_ROWS: Final = ("22", "23", "54")
_UNSENDABLE: Final = "22000"  # without a severity, which the server always gives: it is the driver's own


def is_undone(fault: BaseException) -> bool:
    """Tells whether the server has undone the statement for certain, or never got it.

    An ERROR comes before the commit record is written. A FATAL may come behind it, while the session waits
    for a replica; and a lost connection says nothing.
    """
    if not isinstance(fault, asyncpg.PostgresError):
        return False
    return fault.severity_en == "ERROR" or _is_unsendable(fault)


def is_collision(fault: BaseException) -> bool:
    """Tells whether other sessions were in the way, so that the same may succeed at once."""
    return isinstance(fault, _COLLISION)


def is_of_a_row(fault: BaseException) -> bool:
    """Tells whether a single row can be at fault, so that its neighbours may succeed without it."""
    return is_undone(fault) and str(getattr(fault, "sqlstate", ""))[:2] in _CLASSES_OF_BAD_ROWS


def _is_unsendable(fault: asyncpg.PostgresError) -> bool:
    """Tells whether the driver could not encode a value, such as half a surrogate pair."""
    return fault.sqlstate == _UNSENDABLE and fault.severity_en is None
