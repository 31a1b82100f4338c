"""kill -9, in the middle of a load and of a reload: what the next start serves."""

import shutil
import signal

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from serving.status import State

pytestmark = pytest.mark.robustness


@pytest.fixture
def publish_slow(models, publish, predict_request, write_warmup):
    """Publishes a version whose load takes some seconds."""

    def copy(base, version):
        path = publish(models.half_plus_three, base, version, complete=False)
        write_warmup(path, predict_request({"seconds": 2.0}, signature="sleep"))
        return publish(models.half_plus_three, base, version)

    return copy


@pytest.fixture
def kill(family):
    """Kills a server, and waits until what it started has ended by itself."""

    def end(server):
        processes = family(server)
        server.send_signal(signal.SIGKILL)
        assert server.wait(10) == -signal.SIGKILL
        for process in processes[1:]:
            process.wait(30)

    return end


def test_the_next_start_serves_the_last_complete_version(
    launch,
    kill,
    models,
    publish,
    publish_slow,
    entry,
    write_config,
    tmp_path,
    connect,
    predict_request,
    eventually,
    state,
):
    names = "m", "other"
    bases = {name: tmp_path / name for name in names}
    entries = [entry(tmp_path, name) for name in names]
    publish(models.half_plus_two, bases["m"], 1)
    config = write_config(tmp_path / "models.config", entries[0])
    stubs = None

    def start(isolate):
        nonlocal stubs
        server = launch(model_config_file=config, isolate_models=isolate)
        stubs = connect(server.target)
        return server

    def score(name="m"):
        request = predict_request({"x": [0.0]}, model=name)
        response = stubs.predictions.Predict(request, timeout=20)
        return response.model_spec.version.value, response.outputs["y"].float_val[0]

    server = start(isolate="true")
    publish_slow(bases["m"], 2)
    eventually(lambda: state(stubs) == {1: State.AVAILABLE, 2: State.LOADING})
    assert score() == (1, 2.0)
    kill(server)

    # Version 2 was complete; a copy to 3 has not ended, and one to 4 was cut off.
    shutil.rmtree(bases["m"] / "2" / "assets.extra")
    publish(models.half_plus_two, bases["m"], 3, complete=False)
    publish(models.half_plus_two, bases["m"], 4, truncated=True)
    server = start(isolate="false")
    assert server.version == 2
    assert score() == (2, 3.0)

    # A reload of which the file knows nothing yet, that waits for its model.
    publish_slow(bases["other"], 7)
    request = model_management_pb2.ReloadConfigRequest()
    wanted = write_config(tmp_path / "wanted", *entries).read_text()
    text_format.Parse(wanted, request.config)
    reload = stubs.models.HandleReloadConfigRequest.future(request, timeout=20)
    eventually(lambda: state(stubs, "other") == {7: State.LOADING})
    kill(server)
    assert reload.code() is grpc.StatusCode.UNAVAILABLE

    start(isolate="false")
    assert score() == (2, 3.0)
    assert state(stubs, "other") == {}
