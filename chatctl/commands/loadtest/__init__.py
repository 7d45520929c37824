"""chatctl loadtest: a module a command; importing it is what adds the command to `app`."""

from chatctl.commands.loadtest import bench, capacity, compare, listing, run
from chatctl.commands.loadtest.app import app

__all__ = ["app", "bench", "capacity", "compare", "listing", "run"]
