"""The Autobahn test suite's cases against our protocol class, driven by kosoku."""

from typing import Any, Final

import kosoku

from server.transport.limits import Limits
from tests.support.echo_server import echo_server

# 8 does not exist; 9 measures large messages, which our limit forbids; 11 does not exist; 12 and 13 are
# compression, which we do not offer.
SECTIONS: Final = ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*")
_MAX_MESSAGE: Final = 1 << 20  # above the 256 KiB of case 7.1.6
_PARALLEL: Final = 8


async def run_cases(include: tuple[str, ...] = SECTIONS) -> list[Any]:
    """A kosoku CaseResult for each case."""
    async with echo_server(Limits(_MAX_MESSAGE)) as server:
        try:
            return await kosoku.run_fuzzingclient(
                f"ws://127.0.0.1:{server.port}/echo", list(include), concurrency=_PARALLEL
            )
        except kosoku.FailureError as failure:
            return failure.results
