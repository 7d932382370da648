"""Who is served next. Pure."""

from hypothesis import given
from hypothesis import strategies as st

from auth.core.fair_queue import FairQueue


def filled(order: str) -> FairQueue[str]:
    """A queue of items such as `a1`, which are their first letter's."""
    queue: FairQueue[str] = FairQueue()
    for number, whose in enumerate(order):
        queue.add(whose, f"{whose}{number}")
    return queue


def served(queue: FairQueue[str]) -> list[str]:
    return [item for _ in range(len(queue)) if (item := queue.take()) is not None]


def test_each_is_served_in_turn_and_their_own_in_order() -> None:
    assert served(filled("aaaabc")) == ["a0", "b4", "c5", "a1", "a2", "a3"]


def test_who_comes_late_waits_for_one_turn_of_each_of_the_others() -> None:
    queue = filled("aaabbb")
    assert queue.take() == "a0"
    queue.add("c", "c6")
    assert served(queue) == ["b3", "a1", "c6", "b4", "a2", "b5"]


def test_whoever_has_the_most_gives_way_with_what_came_last() -> None:
    queue = filled("abbbc")
    assert queue.longest == 3
    assert queue.take_from_longest() == "b3"
    assert queue.waiting_for("b") == 2


def test_what_is_taken_out_is_not_served() -> None:
    queue = filled("aab")
    queue.remove("a", "a0")
    queue.remove("a", "a0")
    queue.remove("x", "x9")
    assert served(queue) == ["a1", "b2"]
    assert queue.take() is None


@given(st.lists(st.sampled_from("abc") | st.sampled_from(["take", "remove", "longest"]), max_size=60))
def test_nothing_is_lost_served_twice_or_kept(steps: list[str]) -> None:
    queue: FairQueue[int] = FairQueue()
    waiting: dict[int, str] = {}
    for number, step in enumerate(steps):
        if step in "abc":
            queue.add(step, number)
            waiting[number] = step
        elif step == "take":
            taken = queue.take()
            assert (taken is None) == (not waiting)
            waiting.pop(taken if taken is not None else -1, None)
        elif step == "remove" and waiting:
            item, whose = next(iter(waiting.items()))
            queue.remove(whose, item)
            del waiting[item]
        elif step == "longest" and waiting:
            del waiting[queue.take_from_longest()]
        assert len(queue) == len(waiting)
        assert all(queue.waiting_for(whose) == list(waiting.values()).count(whose) for whose in "abc")
    assert {queue.take() for _ in range(len(waiting))} == set(waiting)
