from types import SimpleNamespace

from midpg_tf.models.registry import defaults
from pipeline.benchmark.report import Table, settings_table
from pipeline.benchmark.training import Trial


def test_markdown() -> None:
    # What would end a cell is a scenario's own: a market called `a|b`.
    table = Table("Gains", ("market", "AUC"), [("a|b", "0.7")], note="Of one seed.")
    assert table.markdown().splitlines() == [
        "**Gains**",
        "",
        "| market | AUC |",
        "| --- | --- |",
        r"| a\|b | 0.7 |",
        "",
        "Of one seed.",
    ]


def trial(name, **settings):
    return Trial(name, 1, SimpleNamespace(model=defaults("mlp") | settings))


def test_settings_of_all_models_that_differ() -> None:
    table = settings_table(
        [
            trial("mlp", hidden=(8, 4), l2=1e-4, dropout=0),
            trial("midpg", hidden=[8, 4], cross_layers=2, dropout=0.0, rank=3),
        ]
    )
    assert table is not None
    assert table.headings == ("model", "cross_layers", "l2")
    assert table.rows == [["mlp", "0", "0.0001"], ["midpg", "2", "1e-05"]]


def test_the_same_settings_need_no_table() -> None:
    assert settings_table([trial("mlp"), trial("midpg", rank=3)]) is None
