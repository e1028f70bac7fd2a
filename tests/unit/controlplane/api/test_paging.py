"""Pages: every item once, whatever comes and goes in between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.api.paging import page
from wire.errors import InvalidParameterException


def number(item: int) -> tuple[int]:
    return (item,)


@given(items=st.sets(st.integers()), size=st.integers(1, 7), descending=st.booleans())
def test_the_pages_together_are_the_list(items: set[int], size: int, descending: bool):  # noqa: FBT001
    seen: list[int] = []
    request: dict[str, object] = {"maxResults": size}
    while True:
        shown, more = page(items, request, key=number, descending=descending)
        seen += shown
        if not more:
            break
        assert len(shown) == size
        request |= more
    assert seen == sorted(items, reverse=descending)


def test_a_token_stays_valid_while_things_change():
    shown, more = page([1, 2, 3, 4], {"maxResults": 2}, key=number)
    assert shown == [1, 2]
    assert page([1, 4, 5], {"maxResults": 2, **more}, key=number) == ([4, 5], {})


@pytest.mark.parametrize("token", ["?", "bm90IGpzb24=", "WyJ0ZXh0Il0="])
def test_a_foreign_token_is_refused(token: str):
    with pytest.raises(InvalidParameterException, match="Invalid token"):
        page([1, 2], {"nextToken": token}, key=number)


@pytest.mark.parametrize("size", [0, 101, -1])
def test_a_page_size_out_of_range_is_refused(size: int):
    with pytest.raises(InvalidParameterException, match="between 1 and 100"):
        page([1], {"maxResults": size}, key=number)
