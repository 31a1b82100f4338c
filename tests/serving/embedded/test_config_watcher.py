"""When a configuration file that is polled is applied."""

import grpc

from serving.embedded.config_watcher import ConfigWatcher, read_models
from serving.errors import ServingError


class Models:
    """Takes configurations; with the second one, a model doesn't become available."""

    def __init__(self):
        self.labels = []

    def reload(self, configs, timeout):
        self.labels.append(dict(configs["m"].labels))
        if self.labels[-1] == {"stable": 2}:
            raise ServingError(grpc.StatusCode.UNKNOWN, "did not become available: {m}")


def test_what_was_in_force_comes_back_after_one_that_failed_in_part(
    tmp_path, entry, write_config, eventually, caplog
):
    path = tmp_path / "models.config"
    first, second = (entry(tmp_path, "m", stable=version) for version in (1, 2))
    write_config(path, first)
    models = Models()
    watcher = ConfigWatcher(str(path), models, read_models(str(path)), 0.01)
    watcher.start()
    try:
        write_config(path, second)
        eventually(lambda: {"stable": 2} in models.labels)
        write_config(path, first)
        eventually(lambda: models.labels[-1] == {"stable": 1})
    finally:
        watcher.stop()

    assert f"{path} was applied, but: did not become available: {{m}}" in caplog.text
    assert "was not applied" not in caplog.text
