"""The page's tests drive a browser: without one they are left out, which test_browser says in one line."""

from tests.server.web.test_browser import MISSING

collect_ignore = ["page"] if MISSING else []
