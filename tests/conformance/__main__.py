"""`python -m tests.conformance [CASE...]`: runs the cases, prints all verdicts but OK; 1 when one failed."""

import asyncio
import sys
from collections import Counter

import uvloop

from tests.conformance.autobahn import SECTIONS, run_cases


def main() -> int:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(run_cases(tuple(sys.argv[1:]) or SECTIONS))
    for case in results:
        if case.behavior.value != "OK" or not case.passed:
            print(f"{case.case_id:8} {case.behavior.value}, close {case.behavior_close.value}: {case.result}")
    counts = Counter(case.behavior.value for case in results)
    print(f"{len(results)} cases:", ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 0 if all(case.passed for case in results) else 1


sys.exit(main())
