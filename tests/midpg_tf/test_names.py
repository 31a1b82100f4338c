from __future__ import annotations

import itertools
import keyword

import tensorflow as tf

from midpg_tf.names import safe_name, scenario_name


def test_a_name_that_will_do_stays():
    assert safe_name("user_id") == "user_id"


def test_other_names_become_ones_that_tensorflow_takes():
    odd = ["a b", "a-b", "a.b", "größe", "1st", "_x", "a/b", "価格", ""]
    names = {safe_name(name) for name in odd}
    assert len(names) == len(odd)
    assert all(name.isidentifier() and name.isascii() for name in names)
    assert safe_name("a b").startswith("a_b_")
    for name in names:
        with tf.Graph().as_default(), tf.name_scope(name) as scope:
            assert scope == f"{name}/"


def test_names_that_python_keeps_for_itself_become_arguments_of_signatures():
    class Model:
        @tf.function
        def score(self, **features):
            return features

    names = [*keyword.kwlist, "self"]
    arguments = {safe_name(name): tf.TensorSpec([None], name=name) for name in names}
    assert len(arguments) == len(names)
    signature = Model().score.get_concrete_function(**arguments)
    assert set(signature.structured_outputs) == set(arguments)


def test_a_scenario_field_without_a_value_is_in_its_name():
    assert scenario_name(["app"]) == "app"
    assert scenario_name(["app", ""]) == "app/(empty)"
    assert scenario_name(iter(["", ""])) == "(empty)/(empty)"


def test_no_two_scenarios_have_one_name():
    values = ["a", "b", "/", "\\", "a/b", "a\\", "/b", "\\/", "a/", "\\b", ""]
    scenarios = list(itertools.product(values, values))
    assert len({scenario_name(scenario) for scenario in scenarios}) == len(scenarios)
    assert scenario_name(["a/b", "c"]) == r"a\/b/c"
    # Of one field, the value itself will do.
    assert {scenario_name([value]) for value in values[:-1]} == set(values[:-1])
