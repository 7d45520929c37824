from tests.conformance.autobahn import run_cases
from tests.support.asynchronous import on_uvloop

# Invalid UTF-8 inside a frame of which the rest has not come: we look at it once the frame is whole.
NOT_AT_ONCE = {"6.4.3", "6.4.4"}


@on_uvloop
async def test_every_autobahn_case_passes_and_all_but_two_strictly() -> None:
    results = await run_cases()

    assert len(results) == 247
    assert [(case.case_id, case.result, case.result_close) for case in results if not case.passed] == []
    assert {case.case_id for case in results if case.behavior.value == "NON-STRICT"} <= NOT_AT_ONCE
