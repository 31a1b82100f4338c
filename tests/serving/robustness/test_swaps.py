"""A steady load, beside which versions are swapped and a label is moved."""

import dataclasses
import itertools
import threading

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import model_management_pb2

from serving.status import State

pytestmark = pytest.mark.robustness

CALLERS = 4


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back for an x, and whether it was asked after the label had moved."""

    model: str
    version: int
    x: float
    y: float
    moved: bool


class Load:
    """Asks for the newest version of m, and for the label of labelled, in turn."""

    def __init__(self, connect, target, predict_request):
        self.moved = False
        self.failures = []
        self.answers = [[] for _ in range(CALLERS)]
        self._numbers = itertools.count(1)
        self._done = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._ask, args=(connect(target), predict_request, answers)
            )
            for answers in self.answers
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._done.set()
        for thread in self._threads:
            thread.join()

    @property
    def count(self):
        return sum(map(len, self.answers))

    def newest(self):
        """Returns the newest version of m that any caller has got."""
        return max(
            answer.version
            for answers in self.answers
            for answer in answers[-10:]
            if answer.model == "m"
        )

    def _ask(self, stubs, predict_request, answers):
        newest = predict_request({"x": [0.0]}, model="m")
        labelled = predict_request({"x": [0.0]}, model="labelled")
        labelled.model_spec.version_label = "stable"
        for request in itertools.cycle([newest, labelled]):
            if self._done.is_set():
                return
            moved = self.moved
            x = float(next(self._numbers))
            request.inputs["x"].float_val[0] = x
            try:
                response = stubs.predictions.Predict(request, timeout=20)
            except grpc.RpcError as error:
                self.failures.append((request.model_spec.name, error))
                continue
            spec = response.model_spec
            (y,) = response.outputs["y"].float_val
            answers.append(Answer(spec.name, spec.version.value, x, y, moved))


@pytest.mark.parametrize(("isolate", "requests"), [("true", 20_000), ("false", 4_000)])
def test_no_request_is_lost_or_answered_wrongly(
    launch,
    lines,
    publish,
    entry,
    write_config,
    tmp_path,
    connect,
    predict_request,
    eventually,
    state,
    isolate,
    requests,
):
    bases = {name: tmp_path / name for name in ("m", "labelled")}
    publish(lines[1], bases["m"], 1)
    for version in (1, 2):
        publish(lines[version], bases["labelled"], version)

    def config(stable):
        labelled = entry(tmp_path, "labelled", "all {}", stable=stable)
        entries = entry(tmp_path, "m"), labelled
        return write_config(tmp_path / "models.config", *entries)

    server = launch(
        model_config_file=config(1),
        allow_version_labels_for_unavailable_models="true",
        isolate_models=isolate,
    )
    stubs = connect(server.target)
    both = dict.fromkeys((1, 2), State.AVAILABLE)
    eventually(lambda: state(stubs, "labelled") == both, 30)

    def reached(share):
        return lambda: load.count >= share * requests

    def swap(version):
        publish(lines[version], bases["m"], version)
        eventually(lambda: load.newest() == version, 60)

    with Load(connect, server.target, predict_request) as load:
        eventually(reached(0.2), 100)
        swap(2)
        eventually(reached(0.4), 100)
        swap(3)
        eventually(reached(0.6), 100)
        request = model_management_pb2.ReloadConfigRequest()
        text_format.Parse(config(2).read_text(), request.config)
        stubs.models.HandleReloadConfigRequest(request, timeout=20)
        load.moved = True
        eventually(reached(0.8), 100)
        swap(4)
        eventually(reached(1), 100)

    assert load.failures == []
    answers = list(itertools.chain(*load.answers))
    assert len(answers) >= requests
    assert [a for a in answers if a.y != 2 * a.x + a.version] == []
    assert len({answer.x for answer in answers}) == len(answers)
    for name, versions in (("m", {1, 2, 3, 4}), ("labelled", {1, 2})):
        assert {a.version for a in answers if a.model == name} == versions
        # No caller sees an old version again.
        for one in load.answers:
            seen = [answer.version for answer in one if answer.model == name]
            assert seen == sorted(seen)
    assert {a.version for a in answers if a.moved and a.model == "labelled"} == {2}
    ended = dict.fromkeys((1, 2, 3), State.END)
    eventually(lambda: state(stubs) == ended | {4: State.AVAILABLE})
