import subprocess
import sys
import textwrap

import pytest


@pytest.mark.slow
def test_sums_over_replicas_and_leaves_one_alone() -> None:
    # A process of its own: logical devices can't be changed once TensorFlow runs.
    script = """
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        from midpg_tf.layers.replicas import over_replicas

        def step():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            number = tf.cast(replica + 1, tf.float32)
            return over_replicas([number, tf.stack([number, 10 * number])])

        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        for result in (step(), strategy.run(step)):
            for each in tf.nest.flatten(result, expand_composites=True):
                print(each.numpy().tolist())
    """
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-3_000:]
    alone = ["1.0", "[1.0, 10.0]"]
    both = ["3.0", "3.0", "[3.0, 30.0]", "[3.0, 30.0]"]
    assert finished.stdout.splitlines() == alone + both
