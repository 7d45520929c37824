"""The page's tests drive a browser, and cannot even be read without the package that does."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("playwright") else ["page"]
