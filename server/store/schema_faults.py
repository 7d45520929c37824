"""Why a store does not open a database that it can read."""


class SchemaTooNew(Exception):
    """The database was written by a later version of this program."""


class SchemaTooOld(Exception):
    """The database waits for `chatctl db upgrade`."""
