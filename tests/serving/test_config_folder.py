"""The configuration files that come for tensorflow_model_server."""

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes.client
import pytest
import yaml
from click.testing import CliRunner

import serving
from serving import launcher
from serving.cli import serve
from serving.config_files import read_config
from serving.embedded.batching import read_batching_options
from serving.embedded.config_watcher import read_models
from serving.embedded.grpc_server import parse_channel_arguments
from serving.embedded.metrics import read_metrics_path
from serving.policies import Latest
from serving.protos import SSLConfig

FOLDER = Path(serving.__file__).parent / "config"


def test_models():
    (model,) = read_models(str(FOLDER / "models.config")).values()

    assert model.name == "midpg"
    # Labels are for versions that are there: a push must neither lack nor unload them.
    assert model.policy == Latest(1)
    assert model.labels == {}


def test_batching():
    options = read_batching_options(str(FOLDER / "batching.config"))

    # One scenario with 500 candidates must fit, at all and beside another.
    assert options.max_batch_size >= 2 * 500
    assert options.batch_timeout_micros <= 1000


def test_the_image_is_the_same_everywhere():
    # Not the installed TensorFlow's version: not each has an image.
    assert launcher.IMAGE in (FOLDER / "kubernetes.yaml").read_text()
    name, version = launcher.IMAGE.split(":")
    compose = (FOLDER / "compose.yaml").read_text()
    assert f"{name}:${{TF_SERVING_VERSION:-{version}}}" in compose


def test_monitoring():
    path = read_metrics_path(str(FOLDER / "monitoring.config"))

    assert path == "/monitoring/prometheus/metrics"


def test_ssl():
    config = read_config(str(FOLDER / "ssl.config"), SSLConfig())

    assert config.client_verify
    assert config.server_key.startswith("-----BEGIN PRIVATE KEY-----\n")


def flags_of(arguments):
    found = [re.match(r"--(\w+)=", argument) for argument in arguments]
    return {match[1] for match in found if match}


def assert_flags_are_known(arguments):
    known = {flag for parameter in serve.params for flag in parameter.opts}
    assert {f"--{flag}" for flag in flags_of(arguments)} <= known


def test_compose():
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())

    (service,) = compose["services"].values()
    assert_flags_are_known(service["command"] + service["entrypoint"])
    mounted = [volume.split(":/", 1)[1] for volume in service["volumes"]]
    assert {path.split(":")[0] for path in mounted} == {"models/midpg", "config"}
    # Without it, the server is process 1, and takes no SIGTERM. With it, there is
    # nothing to wait for.
    assert service["init"] is True
    assert "stop_grace_period" not in service
    for argument in service["command"]:
        if "=/config/" in argument:
            assert (FOLDER / argument.rsplit("/", 1)[1]).is_file()


def test_compose_by_docker(tmp_path):
    check = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(check, check=False).returncode:
        pytest.skip("docker compose is not installed")
    subprocess.run(
        [
            shutil.which("docker"),
            "compose",
            "-f",
            FOLDER / "compose.yaml",
            "config",
            "--quiet",
        ],
        check=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "MODELS": str(tmp_path)},
    )


def assert_fits(value, kind):
    """Fails for a key, or a shape of a value, that the Kubernetes API doesn't have."""
    if match := re.fullmatch(r"list\[(.+)\]", kind):
        assert isinstance(value, list), value
        for part in value:
            assert_fits(part, match[1])
    elif match := re.fullmatch(r"dict\(str, (.+)\)", kind):
        assert isinstance(value, dict), value
        for part in value.values():
            assert_fits(part, match[1])
    elif kind in ("str", "int", "bool"):
        assert type(value).__name__ == kind, f"expected {kind}, found {value!r}"
    elif kind != "object":
        model = getattr(kubernetes.client, kind)
        kinds = {model.attribute_map[k]: v for k, v in model.openapi_types.items()}
        assert value.keys() <= kinds.keys(), f"{kind}: {value.keys() - kinds.keys()}"
        # The constructor refuses what lacks a required field.
        names = {json: name for name, json in model.attribute_map.items()}
        model(**{names[key]: part for key, part in value.items()})
        for key, part in value.items():
            assert_fits(part, kinds[key])


@pytest.fixture(scope="module")
def manifests():
    documents = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("Deployment", "V1Deployment"),
        ("Service", "V1Service"),
        ("HorizontalPodAutoscaler", "V2HorizontalPodAutoscaler"),
        ("PodDisruptionBudget", "V1PodDisruptionBudget"),
    ],
)
def test_manifests_fit_the_api(manifests, kind, model):
    assert_fits(manifests[kind], model)


def test_a_manifest_that_does_not_fit_is_found(manifests):
    with pytest.raises(AssertionError, match="replica"):
        assert_fits({"spec": {"replica": 1}}, "V1Deployment")
    with pytest.raises(ValueError, match="selector"):
        assert_fits({"spec": {"replicas": 1}}, "V1Deployment")


def test_manifests_belong_together(manifests):
    spec = manifests["Deployment"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    labels = spec["template"]["metadata"]["labels"]

    for selector in (
        spec["selector"]["matchLabels"],
        manifests["Service"]["spec"]["selector"],
        manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    target = manifests["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == manifests["Deployment"]["metadata"]["name"]
    # The autoscaler's; a number here would be put in force again by each apply.
    assert "replicas" not in spec
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert_flags_are_known(container["args"])
    (arguments,) = [a for a in container["args"] if "channel_arguments" in a]
    ages = parse_channel_arguments(arguments.split("=", 1)[1])
    assert ages.keys() == {
        "grpc.max_connection_age_ms",
        "grpc.max_connection_age_grace_ms",
    }
    # gRPC lets connections live up to a tenth longer.
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert 1.1 * sum(ages.values()) / 1000 < sleep
    # What the server does with a SIGTERM after that is nothing.
    assert sleep < pod["terminationGracePeriodSeconds"] <= sleep + 5
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_a_pod_is_ready_while_the_model_serves(manifests):
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    (model,) = read_models(str(FOLDER / "models.config"))

    # Without /metadata, the answer is 200 for a version that failed, too.
    path = container["readinessProbe"]["httpGet"]["path"]
    assert path == f"/v1/models/{model}/metadata"


def test_pods_pass_the_restricted_level_of_pod_security(manifests):
    pod = manifests["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


def test_threads_are_as_many_as_the_cores_that_are_asked_for(manifests):
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]

    cpus = {"resourceFieldRef": {"resource": "requests.cpu"}}
    assert {one["name"]: one["valueFrom"] for one in container["env"]} == {
        "TF_NUM_INTRAOP_THREADS": cpus,
        "TF_NUM_INTEROP_THREADS": cpus,
    }


FLAGS = """
port rest_api_port grpc_socket_path model_name model_base_path model_config_file
model_config_file_poll_wait_seconds file_system_poll_wait_seconds enable_batching
batching_parameters_file monitoring_config_file saved_model_tags enable_model_warmup
rest_api_timeout_in_ms grpc_channel_arguments max_num_load_retries
load_retry_interval_micros ssl_config_file enable_grpc_healthcheck_service
allow_version_labels_for_unavailable_models tensorflow_session_parallelism
tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism rest_api_num_threads
grpc_max_threads num_load_threads num_unload_threads
"""


@pytest.mark.parametrize("flag", FLAGS.split())
def test_the_flags_of_the_surface_are_there(flag):
    assert f"--{flag} " in CliRunner().invoke(serve, ["--help"]).output
