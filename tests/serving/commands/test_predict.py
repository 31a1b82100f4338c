"""`midpg predict`: what it prints and writes, over a real port."""

import decimal

import pandas as pd


def test_shows_scenario_and_score_of_the_first_rows(command, rows):
    found = command([rows[i % 2] for i in range(25)])

    assert found.code == 0
    lines = [line.split() for line in found.out.splitlines() if line.strip()]
    assert lines[:2] == [["Scores"], ["line", "kind", "score"]]
    cells = [line for line in lines if line[0].isdigit() and len(line) == 3]
    assert cells[:3] == [
        ["2", "a", "0.250000"],
        ["3", "c", "3.000000"],
        ["4", "a", "0.250000"],
    ]
    assert len(cells) == 10
    assert "and 15 more" in found.out
    assert "25 rows scored by shop at 127.0.0.1:" in found.out


def test_writes_csv(command, tmp_path, rows):
    output = tmp_path / "scores.csv"

    assert command(rows, f"--output={output}").code == 0

    assert output.read_text() == (
        "kind,x,tags,note,score\n"
        "a,0.25,n;s,first,0.25\n"
        'c,1.0,,"second, with a comma",3.0\n'
    )


def test_names_are_shown_as_they_are(command, tmp_path, rows):
    folder = tmp_path / "[" / "bold] [red]"
    folder.mkdir(parents=True)
    rows[0]["kind"] = "\x1b[2J"
    output = folder / "scores.csv"

    found = command(rows, f"--output={output}")

    assert f"scores in {output}\n" in found.out
    assert "\N{REPLACEMENT CHARACTER}[2J" in found.out
    assert "\x1b" not in found.out


def test_writes_parquet_of_csv(command, tmp_path, rows):
    output = tmp_path / "scores.parquet"

    assert command(rows, f"--output={output}").code == 0

    frame = pd.read_parquet(output)
    assert frame["score"].dtype == "float32"
    assert frame["score"].tolist() == [0.25, 3.0]
    # What is text in a CSV stays text.
    assert frame["x"].tolist() == ["0.25", "1.0"]


def test_parquet_keeps_its_types(command, tmp_path):
    rows = pd.DataFrame(
        {
            "kind": ["a", None],
            "x": [decimal.Decimal("1.5"), None],
            "tags": [["n", "s"], None],
            "when": pd.to_datetime(["2024-05-01", "2024-05-02"]),
        }
    )
    parquet, csv = tmp_path / "scores.parquet", tmp_path / "scores.csv"

    for output in (parquet, csv):
        found = command(rows, f"--output={output}", kind="parquet")
        assert found.code == 0
        assert "None" not in found.out

    frame = pd.read_parquet(parquet)
    assert frame["score"].tolist() == [1.5, 3.0]
    assert frame["x"].tolist() == [decimal.Decimal("1.5"), None]
    assert frame["tags"][0].tolist() == ["n", "s"]
    assert frame["when"].tolist() == rows["when"].tolist()
    # A list becomes a cell that the data set's separator takes apart again.
    assert csv.read_text().splitlines()[1:] == [
        "a,1.5,n;s,2024-05-01 00:00:00,1.5",
        ",,,2024-05-02 00:00:00,3.0",
    ]


def test_flags_in_csv_are_the_categories_that_they_are_in_parquet(command, tmp_path):
    output = tmp_path / "scores.csv"
    rows = pd.DataFrame(
        {"kind": [True, False], "x": 1.0, "tags": [[True, False], []], "note": [1, 0]}
    )
    assert command(rows, f"--output={output}", kind="parquet").code == 0
    assert output.read_text().splitlines()[1:] == [
        "true,1.0,true;false,1,4.0",
        "false,1.0,,0,4.0",
    ]


def test_columns_without_a_name_are_left_out(command, tmp_path):
    rows = "kind,x,tags,,\na,0.25,n,,\n"
    for suffix, read in (("csv", pd.read_csv), ("parquet", pd.read_parquet)):
        output = tmp_path / f"scores.{suffix}"
        assert command(rows, f"--output={output}").code == 0
        assert list(read(output).columns) == ["kind", "x", "tags", "score"]


def test_whole_decimals_are_ids(command):
    rows = pd.DataFrame({"kind": [decimal.Decimal(7)], "x": [1.0], "tags": [[]]})
    found = command(rows, kind="parquet")
    assert found.code == 0
    assert "1 rows scored" in found.out


def test_no_rows(command, tmp_path):
    output = tmp_path / "scores.csv"

    found = command("kind,x,tags\n", f"--output={output}")

    assert (found.code, output.read_text()) == (0, "kind,x,tags,score\n")
    assert "0 rows scored" in found.out


def test_many_rows(command, tmp_path):
    output = tmp_path / "scores.parquet"
    rows = pd.DataFrame({"kind": "b", "x": range(2500), "tags": ""})

    assert command(rows, f"--output={output}").code == 0

    assert pd.read_parquet(output)["score"].tolist() == [1 + i for i in range(2500)]


def test_a_version(command, rows):
    assert command(rows, "--version=4").code == 0
