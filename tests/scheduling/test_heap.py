from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kinovi_async._scheduling._heap import LazyHeap


class Item:
    """Told by identity, not comparable."""


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.one_of(st.none(), st.floats(-5, 5))),
        max_size=200,
    )
)
def test_it_always_gives_the_smallest_key_and_keeps_few_stale_places(
    steps: list[tuple[int, float | None]],
) -> None:
    items = [Item() for _ in range(10)]
    heap: LazyHeap[Item] = LazyHeap()
    keys: dict[Item, tuple[float, int]] = {}
    for number, value in steps:
        item = items[number]
        if value is None:
            heap.discard(item)
            keys.pop(item, None)
        else:
            heap.put(item, (value, number))
            keys[item] = (value, number)
        smallest = min(keys, key=keys.__getitem__, default=None)
        assert heap.first() is smallest
        assert heap.first_time == (None if smallest is None else keys[smallest][0])
        assert len(heap) == len(keys)
        assert (item in heap) == (item in keys)
        assert len(heap._heap) <= 2 * len(keys) + 8
        if not keys:
            assert not heap._heap
