"""A ledger: whatever begins and ends on it, in whatever order, what is left is what the holds leave."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from wire.holds import Hold, Ledger, Proof
from wire.resources import Amounts, Room

REGISTERED = Amounts(4096, 8192, frozenset({22, 51678}), frozenset({53}), gpus=3, gpu_ids=frozenset({"a", "b", "c"}))

amounts = st.builds(
    lambda cpu, memory, ports, udp, gpus: Amounts(cpu, memory, ports, udp, gpus=len(gpus), gpu_ids=gpus),
    st.integers(0, 1024),
    st.integers(0, 1024),
    st.frozensets(st.sampled_from([22, 80, 81]), max_size=2),
    st.frozensets(st.sampled_from([53, 54]), max_size=1),
    st.frozensets(st.sampled_from(["a", "b", "c"]), max_size=2),
)
steps = st.lists(st.tuples(st.sampled_from("12345"), amounts), max_size=20)


@given(steps)
def test_what_is_left_is_what_the_holds_leave(steps: list[tuple[str, Amounts]]) -> None:
    """Of two that name one port or GPU, or one that was reserved, it stays taken when one of them ends."""
    ledger = Ledger(REGISTERED)
    for subject, wanted in steps:
        if subject in ledger:
            assert ledger.end(subject, Proof.EXIT_SEEN) is not None
        else:
            ledger.begin(Hold(subject, wanted, 0, "placed"))
        left = reduce(lambda room, hold: room.minus(hold.amounts), ledger, Room.whole(REGISTERED))
        assert ledger.free == left
        ledger.check()
