"""Errors about rows, wherever they are raised."""

import pickle

from midpg_tf.spec import RowError


def test_a_row_error_goes_from_process_to_process():
    error = RowError("price", "expected 1, found 2")

    found = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert str(found) == str(error) == "column 'price': expected 1, found 2"
    assert (found.column, found.problem) == (error.column, error.problem)
