"""Which versions are chosen of those on disk."""

import pytest

from serving.policies import All, Latest, Specific

SOME = Specific(frozenset({1, 3, 9}))


@pytest.mark.parametrize(
    ("policy", "found", "failing", "expected"),
    [
        (Latest(), [], [], set()),
        (Latest(), [2, 10, 1], [], {10}),
        (Latest(2), [2, 10, 1], [], {10, 2}),
        (Latest(2), [1], [], {1}),
        # An older one stands in for each that fails, which stays wanted.
        (Latest(), [1, 2, 3, 4], [4, 3], {4, 3, 2}),
        (Latest(2), [1, 2, 3, 4], [3], {4, 3, 2}),
        (Latest(), [1, 2], [2, 1], {2, 1}),
        (All(), [2, 10, 1], [10], {1, 2, 10}),
        (All(), [], [], set()),
        (SOME, [1, 2, 3], [], {1, 3}),
        (SOME, [1, 2, 3], [3], {1, 3}),
        (SOME, [2], [], set()),
    ],
)
def test_versions_are_chosen(policy, found, failing, expected):
    assert policy.choose(found, failing) == expected
