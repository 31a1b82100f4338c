"""When a configuration file that is polled is applied."""

import grpc
import pytest

from serving.config_watcher import ConfigWatcher, read_models
from serving.errors import ServingError


class Models:
    """Takes configurations; some models in them don't become available."""

    def __init__(self):
        self.labels = []

    def reload(self, configs, timeout):
        (config,) = configs.values()
        self.labels.append(dict(config.labels))
        if config.base_path == "/none":
            raise ServingError(grpc.StatusCode.UNKNOWN, "did not become available: {m}")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models.config"


def write(path, version, base_path="/m"):
    part = path.with_suffix(".part")
    part.write_text(
        f'model_config_list {{ config {{ name: "m" base_path: "{base_path}"'
        ' model_platform: "tensorflow"'
        f' version_labels {{ key: "stable" value: {version} }} }} }}'
    )
    part.replace(path)


def test_what_was_in_force_comes_back_after_one_that_failed_in_part(
    path, eventually, caplog
):
    write(path, 1)
    models = Models()
    watcher = ConfigWatcher(str(path), models, read_models(str(path)), 0.01)
    watcher.start()
    try:
        write(path, 2, base_path="/none")
        eventually(lambda: {"stable": 2} in models.labels)
        write(path, 1)
        eventually(lambda: models.labels[-1] == {"stable": 1})
    finally:
        watcher.stop()

    assert f"{path} was applied, but: did not become available: {{m}}" in caplog.text
    assert "was not applied" not in caplog.text
