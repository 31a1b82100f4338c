from pipeline.benchmark.report import Table


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
