"""Pushes that are cut off, by a full disk or by a kill, beside a server that polls."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.versions import find_versions

pytestmark = pytest.mark.robustness

# Pushes what each line of stdin tells, in files of a limited size, and answers what
# came of it. TFX takes long to import, so that one process does it for all pushes.
PUSHER = """
import json, resource, sys, time
from tfx.proto import pusher_pb2
from tfx.types import standard_artifacts
from tfx.utils import json_utils, proto_utils
from pipeline.components.pusher import NewModelPusherExecutor

def push(model, base, home):
    blessing, infra = (
        getattr(standard_artifacts, f"{kind}Blessing")() for kind in ("Model", "Infra")
    )
    blessing.set_int_custom_property("current_model_id", 7)
    infra.set_int_custom_property("has_model", 1)
    infra.uri = model
    for one in (blessing, infra):
        one.set_int_custom_property("blessed", 1)
    pushed = standard_artifacts.PushedModel()
    pushed.uri = home
    destination = pusher_pb2.PushDestination()
    destination.filesystem.base_directory = base
    NewModelPusherExecutor().Do(
        {"model_blessing": [blessing], "infra_blessing": [infra]},
        {"pushed_model": [pushed]},
        {
            "push_destination": proto_utils.proto_to_json(destination),
            "custom_config": json_utils.dumps(
                {"rolled_back": base + ".rolled_back", "recipe_digest": ""}
            ),
        },
    )
    return pushed.get_string_custom_property("pushed_destination")

print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    limit, *arguments = json.loads(line)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    print(json.dumps("pushes"), flush=True)
    # Versions are seconds.
    time.sleep(1.1)
    try:
        answer = push(*arguments)
    except Exception as error:
        answer = f"failed: {error}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    print(json.dumps(answer), flush=True)
"""
NO_LIMIT = 10**9


@pytest.fixture
def pusher(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", PUSHER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert read(process) == "ready"
    yield process
    process.kill()
    process.communicate()


def read(process):
    while True:
        line = process.stdout.readline()
        assert line
        if line.startswith('"'):
            return json.loads(line)


def begin(process, limit, *paths):
    process.stdin.write(json.dumps([limit, *map(str, paths)]) + "\n")
    process.stdin.flush()
    assert read(process) == "pushes"


def test_what_was_cut_off_is_no_version(
    pusher, lines, publish, tmp_path, serve, connect, predict_request, eventually
):
    base, infra = tmp_path / "serving", tmp_path / "infra"
    publish(lines[1], base, 1)
    server = serve(base)
    stubs = connect(server.target).predictions
    model = publish(lines[2], infra, 2).rename(infra / "stamped_model")
    variables = max(f.stat().st_size for f in model.glob("variables/*"))
    graph = (model / "saved_model.pb").stat().st_size
    assert variables < graph

    def served():
        request = predict_request({"x": [3.0]})
        response = stubs.Predict(request, timeout=10)
        version = response.model_spec.version.value
        return version, response.outputs["y"].float_val[0]

    # A disk that is full in the middle of the variables, or of the graph.
    for limit in (variables - 1, graph - 1):
        begin(pusher, limit, infra, base, tmp_path / "pushed")
        assert "File too large" in read(pusher)
        assert find_versions(base).versions.keys() == {1}
        assert served() == (1, 7.0)

    begin(pusher, NO_LIMIT, infra, base, tmp_path / "pushed")
    second = Path(read(pusher))
    assert second.parent == base
    eventually(lambda: served() == (int(second.name), 8.0))
    assert {file.name for file in base.iterdir()} == {"1", second.name}

    # A pipe that nobody writes to: the copy goes as far as this file, and no further.
    (model / "news").touch()
    (model / "variables" / "variables.index").unlink()
    os.mkfifo(model / "variables" / "variables.index")
    begin(pusher, NO_LIMIT, infra, base, tmp_path / "pushed")
    eventually(lambda: len(list(base.glob("**/variables"))) > 2)
    pusher.send_signal(signal.SIGKILL)
    pusher.wait()

    assert find_versions(base).versions.keys() == {1, int(second.name)}
    server.stop()
    after = serve(base)
    assert after.models.newest_available() == int(second.name)
