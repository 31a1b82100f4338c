"""Loading of SavedModels, sound and damaged."""

import grpc
import pytest

from serving.errors import ServingError
from serving.session import SavedModelSession


def error_of(path):
    with pytest.raises(ServingError) as caught:
        SavedModelSession(str(path))
    return caught.value


def test_signatures_are_told(models):
    session = SavedModelSession(str(models.half_plus_two))

    assert set(session.signatures) >= {"serving_default", "fail", "sleep", "add"}
    session.close()


def test_truncated_graph(models, publish, tmp_path):
    error = error_of(publish(models.half_plus_two, tmp_path, 1, truncated=True))

    assert error.code is grpc.StatusCode.DATA_LOSS
    assert "saved_model.pb as binary proto" in error.message


def test_empty_graph(models, publish, tmp_path):
    path = publish(models.half_plus_two, tmp_path, 1)
    (path / "saved_model.pb").write_bytes(b"")

    error = error_of(path)

    assert error.code is grpc.StatusCode.NOT_FOUND
    assert "tags" in error.message


def test_truncated_variables(models, publish, tmp_path):
    path = publish(models.half_plus_two, tmp_path, 1)
    data = path / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:3])

    error = error_of(path)

    assert error.code is grpc.StatusCode.OUT_OF_RANGE
    assert "Read less bytes than requested" in error.message


def test_missing_directory(tmp_path):
    error = error_of(tmp_path / "none")

    assert error.code is grpc.StatusCode.NOT_FOUND
    assert str(tmp_path / "none") in error.message


def test_unknown_tags(models):
    with pytest.raises(ServingError, match="tpu") as caught:
        SavedModelSession(str(models.half_plus_two), tags=["tpu"])
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_a_tensor_that_is_not_in_the_graph(models):
    session = SavedModelSession(str(models.half_plus_two))

    with pytest.raises(ServingError, match="nothing:0") as caught:
        session.runner(["nothing:0"], [])
    assert caught.value.code in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
    )
    session.close()
