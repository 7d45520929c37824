from hypothesis import given
from hypothesis import strategies as st

from server.core.deadlines import Deadlines

MOST = 3
KEYS = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), KEYS, st.integers(0, 20)),
        st.tuples(st.just("drop"), KEYS, st.just(0)),
        st.tuples(st.just("take"), st.just(0), st.integers(0, 20)),
    ),
    max_size=200,
)


@given(STEPS)
def test_deadlines_behave_like_a_dictionary_that_is_searched(steps: list[tuple[str, int, int]]) -> None:
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, int] = {}
    for action, key, at in steps:
        if action == "set":
            deadlines.set(key, at)
            model[key] = at
        elif action == "drop":
            assert deadlines.drop(key) == (model.pop(key, None) is not None)
        else:
            due = {k: due_at for k, due_at in model.items() if due_at <= at}
            taken = deadlines.take_due(at, MOST)
            assert [due[k] for k in taken] == sorted(due.values())[:MOST]
            model = {k: due_at for k, due_at in model.items() if k not in taken}
        assert deadlines.next() == min(model.values(), default=None)
        assert all((k in deadlines) == (k in model) for k in range(6))
