"""What `import midpg_tf` does to a process that has nothing else loaded."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.slow


GROWTH = "TF_FORCE_GPU_ALLOW_GROWTH"


def run(script: str, **variables: str) -> subprocess.CompletedProcess:
    ours = {"TF_USE_LEGACY_KERAS", GROWTH}
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=environment | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_selects_keras_2_and_stays_light() -> None:
    # TensorFlow alone may come first: it chooses a Keras at the first use of tf.keras.
    finished = run("""
        import sys
        import tensorflow as tf
        import midpg_tf
        print(tf.keras.layers.Layer.__module__.partition(".")[0])
        print(sorted({name.partition(".")[0] for name in sys.modules}))
    """)
    assert finished.returncode == 0, finished.stderr
    keras, modules = finished.stdout.splitlines()
    assert keras == "tf_keras"
    assert "'tensorflow_recommenders'" in modules
    for heavy in ("tfx", "tfx_bsl", "tensorflow_transform", "apache_beam", "grpc"):
        assert f"'{heavy}'" not in modules


# Each kind of process imports one of these first: the processes of models, `serving`.
@pytest.mark.parametrize("package", ["midpg_tf", "pipeline", "serving"])
def test_leaves_memory_of_a_gpu_to_other_processes(package: str) -> None:
    script = f"import os, {package}; print(os.environ['{GROWTH}'])"
    assert run(script).stdout == "true\n"
    assert run(script, **{GROWTH: "false"}).stdout == "false\n"


def test_says_what_is_not_installed() -> None:
    finished = run("""
        import sys
        sys.modules["tensorflow_recommenders"] = None
        import midpg_tf
    """)
    assert finished.returncode == 1
    error = finished.stderr.splitlines()[-1]
    assert error.startswith("ModuleNotFoundError")
    assert "tensorflow_recommenders" in error


def test_says_what_to_do_when_keras_3_was_first() -> None:
    finished = run("""
        import tensorflow as tf
        tf.keras.layers.Dense
        import midpg_tf
    """)
    assert finished.returncode == 1
    error = finished.stderr.splitlines()[-1]
    assert error.startswith("ImportError: midpg_tf needs tf.keras to be Keras 2")
    assert "Import midpg_tf before anything that touches tf.keras" in error
    assert "TF_USE_LEGACY_KERAS=1" in error
