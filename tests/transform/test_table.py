import numpy as np
import tensorflow as tf

from transform.table import read_table, sort_table, table_batches

SPEC = {
    "id": tf.io.FixedLenFeature([], tf.int64),
    "tags": tf.io.VarLenFeature(tf.int64),
}


def record(number: int, tags: list[int], *, tags_first: bool = False) -> bytes:
    def int64(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    # A map's entries may be written in any order, and Beam's workers do so.
    parts = [
        tf.train.Features(feature={"id": int64([number])}),
        tf.train.Features(feature={"tags": int64(tags)}),
    ]
    parts = parts[::-1] if tags_first else parts
    content = b"".join(part.SerializeToString() for part in parts)
    return b"\n" + bytes([len(content)]) + content


def table(*records: bytes):
    strings = tf.constant(list(records), tf.string)
    return read_table(tf.data.Dataset.from_tensor_slices(strings), SPEC)


def lists(columns):
    return {
        name: value.to_list()
        if isinstance(value, tf.RaggedTensor)
        else value.numpy().tolist()
        for name, value in columns.items()
    }


def test_rows_are_read_in_their_order():
    found = table(record(3, [1, 2]), record(1, []), record(2, [5]))
    assert lists(found) == {"id": [3, 1, 2], "tags": [[1, 2], [], [5]]}


def test_values_decide_the_sorted_order_not_bytes():
    one = sort_table(table(record(3, [1, 2]), record(1, []), record(3, [1])))
    other = sort_table(
        table(
            record(3, [1], tags_first=True),
            record(3, [1, 2], tags_first=True),
            record(1, []),
        )
    )
    assert lists(one) == lists(other)
    assert sorted(map(str, lists(one)["tags"])) == ["[1, 2]", "[1]", "[]"]


def test_places_in_a_list_count_for_the_sorted_order():
    rows = [[1, 2], [2, 1], [1, 1, 2], [0], [], [-1]]
    one = sort_table(table(*(record(0, tags) for tags in rows)))
    other = sort_table(table(*(record(0, tags) for tags in reversed(rows))))
    assert lists(one) == lists(other)
    assert sorted(map(str, lists(one)["tags"])) == sorted(map(str, rows))


def test_one_long_list_does_not_make_all_rows_as_long(monkeypatch):
    columns = table(record(1, list(range(90))), *[record(0, [1])] * 10)
    largest = []
    lexsort = np.lexsort

    def spy(keys):
        largest.append(sum(key.nbytes for key in keys))
        return lexsort(keys)

    monkeypatch.setattr(np, "lexsort", spy)
    sort_table(columns)
    assert largest[0] <= 11 * 3 * 8


def test_batches_in_order():
    columns = table(*(record(i, [i] * (i % 2)) for i in range(5)))
    batches = table_batches(columns, 2)
    assert [lists(batch) for batch in batches] == [
        {"id": [0, 1], "tags": [[], [1]]},
        {"id": [2, 3], "tags": [[], [3]]},
        {"id": [4], "tags": [[]]},
    ]
    assert int(batches.cardinality()) == 3


def test_an_epoch_has_each_row_once_in_an_order_of_its_own():
    columns = table(*(record(i, [i]) for i in range(50)))

    def epochs(seed):
        batches = table_batches(columns, 8, seed=seed)
        return [
            [i for batch in batches for i in batch["id"].numpy().tolist()]
            for _ in range(3)
        ]

    first = epochs(1)
    assert all(sorted(epoch) == list(range(50)) for epoch in first)
    assert len(set(map(tuple, [*first, range(50)]))) == 4
    assert epochs(1) == first
    assert epochs(2) != first


def test_chances_leave_rows_out_of_each_epoch_anew():
    columns = table(*(record(i, [i]) for i in range(400)))
    chances = tf.constant([1.0] * 100 + [0.25] * 300)
    batches = table_batches(columns, 8, seed=1, chances=chances)

    def epoch():
        return [batch["id"].numpy().tolist() for batch in batches]

    first, second = epoch(), epoch()
    # Full batches but the last.
    assert {len(batch) for batch in first[:-1]} == {8}
    for rows in ({i for batch in one for i in batch} for one in (first, second)):
        assert rows >= set(range(100))
        # 300 draws of 1 in 4: 75, with a standard deviation of 7.5.
        assert 100 + 75 - 38 < len(rows) < 100 + 75 + 38
    assert {i for b in first for i in b} != {i for b in second for i in b}


def test_repetitions_draw_rows_anew():
    columns = table(*(record(i, [i]) for i in range(400)))
    batches = table_batches(columns, 400, seed=1, chances=tf.fill([400], 0.5))
    first, second = (set(batch["id"].numpy()) for batch in batches.repeat(2))
    # 400 draws of 1 in 4: 100, with a standard deviation of 8.7.
    assert 60 < len(first & second) < 140


def test_no_rows():
    columns = table()
    assert lists(columns) == {"id": [], "tags": []}
    assert list(table_batches(columns, 2, seed=0)) == []
