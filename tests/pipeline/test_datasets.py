"""Data sets out of wheels: whole files or none, and errors that keep secrets."""

from __future__ import annotations

import gzip
import io
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from midpg_tf.spec import DatasetSpec
from pipeline.cli import main
from pipeline.commands import data as commands
from pipeline.datasets import DATASETS, FetchError, fetch, movielens_1m

EXAMPLES = Path(__file__).parents[2] / "examples"
ML = "recbole/dataset_example/ml-100k/ml-100k"
MOVIELENS = {
    f"{ML}.inter": (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
        "1\t10\t4\t100\n2\t20\t2\t200\n1\t20\t5\t300\n"
    ),
    f"{ML}.user": (
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        "1\t24\tM\ttechnician\t85711\n2\t45\tF\tother\t94043\n"
    ),
    f"{ML}.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tToy Story\t1995\tAnimation Comedy\n20\tUnknown\tV\tDrama\n"
    ),
}


def wheel(files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


@pytest.fixture
def pip(monkeypatch):
    """Replaces pip; records its commands and requirements."""
    calls = []

    def replace(content=None, stderr="", returncode=0):
        def run(command, **_):
            folder = Path(command[command.index("--dest") + 1])
            requirements = Path(command[command.index("-r") + 1])
            calls.append((command, requirements.read_text()))
            if content is not None:
                (folder / "some-1.0-py3-none-any.whl").write_bytes(content)
            return SimpleNamespace(returncode=returncode, stderr=stderr)

        monkeypatch.setattr(subprocess, "run", run)
        return calls

    return replace


def test_movielens_is_joined_by_user_and_film(tmp_path, pip):
    calls = pip(wheel(MOVIELENS))
    path = tmp_path / "new" / "movielens-100k.csv"
    assert fetch("movielens-100k", path) == 3
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert rows.to_dict("records")[1:] == [
        {
            "user_id": "2",
            "item_id": "20",
            "rating": "2",
            "timestamp": "200",
            "age": "45",
            "gender": "F",
            "occupation": "other",
            "age_group": "from-45",
            "release_year": "",  # no year in the source
            "genres": "Drama",
        },
        {
            "user_id": "1",
            "item_id": "20",
            "rating": "5",
            "timestamp": "300",
            "age": "24",
            "gender": "M",
            "occupation": "technician",
            "age_group": "to-24",
            "release_year": "",
            "genres": "Drama",
        },
    ]
    assert rows["genres"][0] == "Animation|Comedy"
    assert rows["release_year"][0] == "1995"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    ((command, requirement),) = calls
    assert {"--no-deps", "--require-hashes"} <= set(command)
    source = DATASETS["movielens-100k"].wheel
    assert requirement == f"{source.requirement} --hash=sha256:{source.sha256}\n"


def test_obd_takes_each_rows_own_affinity(tmp_path, pip):
    files = {}
    for policy in ("bts", "random"):
        for campaign in ("all", "men", "women"):
            folder = f"obp/dataset/obd/{policy}/{campaign}"
            files[f"{folder}/{campaign}.csv"] = (
                ",timestamp,item_id,position,click,propensity_score,user_feature_0,"
                "user-item_affinity_0,user-item_affinity_1\n"
                "0,2019-11-24,1,3,0,0.1,u,0.25,0.75\n"
                "1,2019-11-25,0,1,1,0.1,v,0.5,0.0\n"
            )
            files[f"{folder}/item_context.csv"] = (
                ",item_id,item_feature_0,item_feature_1\n0,0,-0.5,a\n1,1,0.5,b\n"
            )
    pip(wheel(files))
    path = tmp_path / "obd.csv"
    assert fetch("obd", path) == 12
    rows = pd.read_csv(path)
    assert "propensity_score" not in rows
    first = rows.iloc[0].to_dict()
    assert (first["item"], first["affinity"]) == ("all-1", 0.75)
    assert (first["item_feature_0"], first["item_feature_1"]) == (0.5, "b")
    assert (rows.iloc[1]["item"], rows.iloc[1]["affinity"]) == ("all-0", 0.5)
    assert set(rows["campaign"] + rows["policy"]) == {
        c + p for c in ("all", "men", "women") for p in ("bts", "random")
    }


def test_commands_take_all_of_them():
    assert set(commands.DATASETS.choices) == set(DATASETS)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_each_data_set_has_its_example(name):
    spec = DatasetSpec.load(EXAMPLES / f"{name}.yaml")
    assert spec.name == name
    assert spec.data.path.endswith(f"data/{name}.csv")


def test_an_old_file_stays_whole_until_the_new_one_is_there(tmp_path, pip):
    path = tmp_path / "movielens-100k.csv"
    path.write_text("old")
    pip(wheel({f"{ML}.inter": MOVIELENS[f"{ML}.inter"]}))
    with pytest.raises(KeyError, match=r"ml-100k\.user"):
        fetch("movielens-100k", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


PIP_ERRORS = [
    (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "DO NOT MATCH THE HASHES",
    ),
    (
        "WARNING: Retrying after connection broken: https://joe:s3cret@index.test/simple",
        "https://index.test/simple",
    ),
    (
        "ERROR: http://token@mirror.test/a and https://u:p@mirror.test/b failed",
        "http://mirror.test/a and https://mirror.test/b failed",
    ),
]


@pytest.mark.parametrize(("stderr", "told"), PIP_ERRORS)
def test_pips_failure_is_told_without_credentials(tmp_path, pip, stderr, told):
    pip(stderr=stderr, returncode=1)
    with pytest.raises(FetchError) as caught:
        fetch("obd", tmp_path / "obd.csv")
    message = str(caught.value)
    assert message.startswith("expected to download obp==0.4.1 from the package index")
    assert told in message
    for secret in ("s3cret", "joe", "token@", "u:p"):
        assert secret not in message
    assert list(tmp_path.iterdir()) == []


def test_a_wheel_that_pip_rejects_is_never_read(tmp_path, pip):
    pip(wheel(MOVIELENS), stderr="hash mismatch", returncode=1)
    with pytest.raises(FetchError, match="hash mismatch"):
        fetch("movielens-100k", tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_rows_path_and_licence(tmp_path, pip, capfd):
    pip(wheel(MOVIELENS))
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "movielens-100k", "--to", str(tmp_path)])
    assert ended.value.code == 0
    path = tmp_path / "movielens-100k.csv"
    assert capfd.readouterr().out == (
        f"3 rows in {path} (GroupLens: research use, no redistribution)\n"
    )
    assert path.exists()


def test_the_commands_failure_is_one_error(tmp_path, pip, capfd):
    pip(stderr="no route to host", returncode=1)
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "obd", "--to", str(tmp_path)])
    assert ended.value.code == 1
    found = capfd.readouterr().err
    assert found.startswith("Error: expected to download obp==0.4.1")
    assert "Traceback" not in found


@pytest.fixture
def ml_1m(tmp_path):
    """A folder as GroupLens' archive has it, of made-up people and films."""
    folder = tmp_path / "ml-1m"
    folder.mkdir()
    (folder / "users.dat").write_text(
        "1::F::1::10::01067\n2::M::18::0::10115\n3::M::25::7::2\n4::F::35::1::55116-1\n"
        "5::F::56::1::8\n"
    )
    (folder / "movies.dat").write_bytes(
        "7::Amélie: Again (2001)::Comedy|Romance\n8::None (1999)::Drama\n".encode(
            "latin-1"
        )
    )
    (folder / "ratings.dat").write_text(
        "1::7::5::100\n2::8::3::200\n3::7::4::300\n4::8::1::400\n5::7::2::500\n"
    )
    return folder


def read(path):
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def test_movielens_1m_of_a_users_own_folder(ml_1m, tmp_path):
    path = tmp_path / "new" / "ml.csv"
    assert movielens_1m(ml_1m, path) == 5
    rows = read(path)
    assert rows.to_dict("records")[0] == {
        "user_id": "1",
        "movie_id": "7",
        "rating": "5",
        "timestamp": "100",
        "gender": "F",
        "age": "1",
        "occupation": "10",
        "zip": "01067",
        "age_group": "to-24",
        "genres": "Comedy|Romance",
        "genre": "Comedy",
    }
    groups = ["to-24", "to-24", "25-34", "from-35", "from-35"]
    assert rows["age_group"].tolist() == groups
    assert rows["genre"].tolist() == ["Comedy", "Drama", "Comedy", "Drama", "Comedy"]
    assert [file.name for file in path.parent.iterdir()] == ["ml.csv"]


def test_movielens_1m_of_a_table_of_ratings(ml_1m, tmp_path):
    (ml_1m / "ratings.dat").unlink()
    with gzip.open(ml_1m / "ratings.csv.gz", "wt") as file:
        file.write("user_id,movie_id,rating\n4,7,4\n1,8,2\n")
    assert movielens_1m(ml_1m, tmp_path / "ml.csv") == 2
    rows = read(tmp_path / "ml.csv")
    assert "timestamp" not in rows
    found = rows[["user_id", "movie_id", "rating", "zip"]].to_numpy().tolist()
    assert found == [["4", "7", "4", "55116-1"], ["1", "8", "2", "01067"]]


def test_movielens_1m_has_what_its_example_names(ml_1m, tmp_path):
    path = tmp_path / "ml.csv"
    movielens_1m(ml_1m, path)
    spec = DatasetSpec.load(EXAMPLES / "movielens-1m.yaml")
    assert {*spec.features, spec.label.column} <= set(read(path))


@pytest.mark.parametrize("name", ["ratings.dat", "users.dat", "movies.dat"])
def test_movielens_1m_that_isnt_whole(ml_1m, tmp_path, capfd, name):
    (ml_1m / name).unlink()
    path = tmp_path / "ml.csv"
    with pytest.raises(SystemExit) as ended:
        main(["data", "movielens-1m", str(ml_1m), "--output", str(path)])
    assert ended.value.code == 1
    assert f"expected MovieLens-1M's {name}, found no such file in {ml_1m}" in (
        capfd.readouterr().err
    )
    assert not path.exists()


def test_the_movielens_1m_command(ml_1m, tmp_path, capfd):
    path = tmp_path / "ml.csv"
    with pytest.raises(SystemExit) as ended:
        main(["data", "movielens-1m", str(ml_1m), "--output", str(path)])
    assert ended.value.code == 0
    assert capfd.readouterr().out.startswith(f"5 rows in {path} (GroupLens")
