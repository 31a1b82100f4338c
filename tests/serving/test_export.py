"""The signatures of an exported model, and what they answer over a real port."""

import itertools

import grpc
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from midpg_tf.names import safe_name
from midpg_tf.spec import DatasetSpec, ExampleEncoder
from serving.client import Client
from serving.embedded.bounded_runs import is_bounded
from serving.embedded.server import ModelServer
from serving.embedded.session import SavedModelSession
from serving.errors import ServingError
from serving.export import ServingModel, export

pytestmark = pytest.mark.slow

VOCABULARIES = {
    "channel": ["app", "web"],
    "customer": ["c1", "c2", "c3"],
    "tags": ["new", "sale"],
    "item": [f"i{i}" for i in range(20)],
}


NUMBERS = ("price", "height")


class Transform(tf.Module):
    """Ids by vocabulary tables; numbers as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.tables = {
            name: tf.lookup.StaticVocabularyTable(
                tf.lookup.KeyValueTensorInitializer(
                    values, tf.range(len(values), dtype=tf.int64)
                ),
                num_oov_buckets=1,
            )
            for name, values in VOCABULARIES.items()
        }

    def __call__(self, raw):
        features = {name: raw[name] for name in NUMBERS}
        for name, table in self.tables.items():
            ids = table.lookup(raw[name])
            if isinstance(ids, tf.SparseTensor):
                ids = tf.sparse.to_dense(ids, default_value=-1)
            features[name] = ids
        return features


@pytest.fixture(scope="module")
def spec():
    return DatasetSpec.model_validate(
        {
            "name": "m",
            "data": {"format": "csv", "path": "rows.csv", "split": {"by": "hash"}},
            "label": {"name": "bought"},
            "scenario": ["channel"],
            "features": {
                "channel": {"kind": "categorical"},
                "customer": {"kind": "categorical"},
                "tags": {"kind": "multivalued"},
                "item": {"kind": "categorical"},
                "price": {"kind": "numeric"},
                "height": {"kind": "numeric", "default": 2.5},
            },
            "model": {"name": "midpg", "hidden": [32, 16]},
        }
    )


@pytest.fixture(scope="module")
def exported(spec, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "1"
    keras.utils.set_random_seed(1)
    model = spec.build_model(spec.model, VOCABULARIES)
    raw = {
        name: tf.io.VarLenFeature(tf.string)
        if name == "tags"
        else tf.io.FixedLenFeature([], tf.float32 if name in NUMBERS else tf.string)
        for name in spec.features
    }
    export(ServingModel(spec, model, Transform(), raw), str(path))
    return path


def test_runs_end_by_themselves(exported):
    session = SavedModelSession(str(exported))
    graph = session._meta_graph.graph_def

    for name, signature in session.signatures.items():
        if name != "__saved_model_init_op":
            fetches = [output.name for output in signature.outputs.values()]
            assert is_bounded(graph, fetches), name
    session.close()


@pytest.fixture(scope="module")
def client(exported, spec):
    with (
        ModelServer("m", exported.parent, port=-1, isolate_models=False) as server,
        Client(server.target, "m", spec) as client,
    ):
        yield client


def test_signatures(client):
    found = {
        name: (
            signature.method_name.rpartition("/")[2],
            sorted(signature.inputs),
            sorted(signature.outputs),
        )
        for name, signature in client.metadata().items()
        if not name.startswith("__")
    }

    features = ["channel", "customer", "height", "item", "price", "tags"]
    assert found == {
        "serving_default": ("predict", ["examples"], ["score"]),
        "regress": ("regress", ["inputs"], ["outputs"]),
        "predict_raw": ("predict", features, ["score"]),
        "transform_features": ("predict", ["examples"], features),
    }


def test_columns_may_have_any_name(tmp_path):
    names = ["country/region", "item id", "item-id", "2nd", "größe (cm)"]
    spec = DatasetSpec.model_validate(
        {
            "name": "m",
            "data": {"format": "csv", "path": "rows.csv"},
            "label": {"name": "bought"},
            "scenario": ["country/region"],
            "features": {name: {"kind": "categorical"} for name in names},
            "model": {"name": "midpg", "hidden": [4]},
        }
    )
    spec.check_model(spec.model)
    model = spec.build_model(spec.model, dict.fromkeys(names, ("0", "1")))

    def transform(raw):
        return {k: tf.strings.to_number(v, tf.int64) for k, v in raw.items()}

    raw = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
    export(ServingModel(spec, model, transform, raw), str(tmp_path / "1"))

    row = {name: str(place % 2) for place, name in enumerate(names)}
    example = ExampleEncoder(spec).encode(row).SerializeToString()
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    expected = signatures["serving_default"](examples=tf.constant([example]))["score"]
    tensors = {safe_name(name): tf.constant([text]) for name, text in row.items()}
    found = signatures["predict_raw"](**tensors)["score"]
    np.testing.assert_array_equal(found, expected)


def test_the_model_still_loads_in_python(exported):
    signature = tf.saved_model.load(str(exported)).signatures["regress"]

    assert signature.structured_outputs["outputs"].shape.as_list() == [None]
    assert signature.structured_outputs["outputs"].dtype == tf.float32


def tensors_of(**numbers):
    texts = {"channel": "app", "customer": "c1", "item": "i4", "tags": ["new"]}
    values = texts | {"price": 1.0, "height": 1.0} | numbers
    return {name: tf.constant([value]) for name, value in values.items()}


def test_a_number_that_is_none_stands_for_its_default(exported):
    score = tf.saved_model.load(str(exported)).signatures["predict_raw"]
    empty = score(**tensors_of(height=np.nan))["score"].numpy()
    assert empty == score(**tensors_of(height=2.5))["score"].numpy()
    assert empty != score(**tensors_of())["score"].numpy()


@pytest.mark.parametrize(
    ("name", "value"), [("price", np.nan), ("price", np.inf), ("height", -np.inf)]
)
def test_no_score_is_made_of_what_is_no_number(exported, client, spec, name, value):
    expected = f"feature {name}: expected finite numbers"
    loaded = tf.saved_model.load(str(exported))
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        loaded.signatures["predict_raw"](**tensors_of(**{name: value}))

    row = {"channel": "app", "customer": "c1", "item": "i4", "tags": []}
    example = ExampleEncoder(spec).encode(row | {"price": 1.0, "height": 1.0})
    example.features.feature[name].float_list.value[:] = [value]
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "m"
    request.inputs["examples"].CopyFrom(
        tf.make_tensor_proto([example.SerializeToString()])
    )
    with grpc.insecure_channel(client.target) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=expected) as caught:
            stub.Predict(request, timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_candidates_of_a_context_score_as_whole_rows(client):
    for customer, replaced in itertools.product(
        ("c2", "one that training never saw"),
        ({}, {"tags": "sale"}, {"channel": "web"}),
    ):
        context = {
            "channel": "app",
            "customer": customer,
            "tags": ["new", "sale"],
            "height": None,
        }
        candidates = [{"item": f"i{i}", "price": i / 7} for i in range(25)]
        # Some of the rows have a value of the context's of their own.
        candidates[3:9] = [row | replaced for row in candidates[3:9]]

        whole = client.predict([context | row for row in candidates])

        np.testing.assert_array_equal(client.predict(candidates, context), whole)
        assert len(np.unique(whole)) > 20


def test_an_older_model_tells_what_to_do(models, publish, tmp_path, serve, spec):
    publish(models.ranker, tmp_path, 1)
    context = {"channel": "app", "customer": "c1", "tags": "", "price": 1}

    with (
        Client(serve(tmp_path).target, "m", spec) as client,
        pytest.raises(ServingError, match=r"name: regress; .* export it anew, or put"),
    ):
        client.predict([{"item": "i1", "height": None}], context)
