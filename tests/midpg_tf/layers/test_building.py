import tf_keras as keras

from midpg_tf.layers.building import build_layer


def test_weights_bear_the_name_of_their_layer() -> None:
    layers = [keras.layers.Dense(3, name=name) for name in ("first", "second")]
    for layer in layers:
        build_layer(layer, (None, 2))
    names = [weight.name for layer in layers for weight in layer.weights]
    assert names == [
        *("first/kernel:0", "first/bias:0"),
        *("second/kernel:0", "second/bias:0"),
    ]
    assert layers[0].kernel.shape == (2, 3)
