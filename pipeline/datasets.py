"""Real data sets for the examples: out of packages, or out of a user's own copy."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pandas as pd


class FetchError(RuntimeError):
    """A data set couldn't be had."""


class Wheel(NamedTuple):
    """A package on the index, of which only the data is wanted: it isn't installed."""

    requirement: str
    sha256: str


class Dataset(NamedTuple):
    """A data set and how its rows come out of the wheel."""

    wheel: Wheel
    rows: Callable[[zipfile.ZipFile], pd.DataFrame]
    licence: str


def _movielens_100k(wheel: zipfile.ZipFile) -> pd.DataFrame:
    """Ratings, joined with user and film; the age groups are ours."""
    folder = "recbole/dataset_example/ml-100k/ml-100k"

    def table(kind: str) -> pd.DataFrame:
        content = wheel.read(f"{folder}.{kind}")
        found = pd.read_csv(io.BytesIO(content), sep="\t", dtype=str)
        return found.rename(columns=lambda name: name.partition(":")[0])

    users = table("user")
    users["age_group"] = pd.cut(
        users["age"].astype(int),
        [0, 24, 34, 44, 200],
        labels=["to-24", "25-34", "35-44", "from-45"],
    )
    films = table("item").rename(columns={"class": "genres"})
    films["genres"] = films["genres"].str.replace(" ", "|")
    is_year = films["release_year"].str.fullmatch(r"\d{4}").fillna(False)
    films["release_year"] = films["release_year"].where(is_year)
    return (
        table("inter")
        .merge(users, on="user_id", validate="many_to_one")
        .merge(films, on="item_id", validate="many_to_one")
        .drop(columns=["movie_title", "zip_code"])
    )


def _obd(wheel: zipfile.ZipFile) -> pd.DataFrame:
    """Impressions of all campaigns under both policies, joined with their items."""
    tables = []
    for policy in ("bts", "random"):
        for campaign in ("all", "men", "women"):
            folder = f"obp/dataset/obd/{policy}/{campaign}"
            rows = pd.read_csv(wheel.open(f"{folder}/{campaign}.csv"), index_col=0)
            items = pd.read_csv(wheel.open(f"{folder}/item_context.csv"), index_col=0)
            affinity = rows.filter(regex=r"^user-item_affinity_\d+$")
            affinity.columns = affinity.columns.str.extract(r"(\d+)$")[0].astype(int)
            own = affinity.columns.get_indexer(pd.Index(rows["item_id"]))
            rows = rows.drop(columns=rows.filter(regex=r"affinity|propensity").columns)
            rows["affinity"] = affinity.to_numpy()[range(len(rows)), own]
            rows = rows.merge(items, on="item_id", validate="many_to_one")
            # Each campaign numbers its items anew.
            rows["item"] = campaign + "-" + rows.pop("item_id").astype(str)
            tables.append(rows.assign(policy=policy, campaign=campaign))
    return pd.concat(tables, ignore_index=True)


DATASETS = {
    "movielens-100k": Dataset(
        Wheel(
            "recbole==1.2.1",
            "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
        ),
        _movielens_100k,
        "GroupLens: research use, no redistribution",
    ),
    "obd": Dataset(
        Wheel(
            "obp==0.4.1",
            "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208",
        ),
        _obd,
        "ZOZO Open Bandit Dataset: CC BY 4.0",
    ),
}


def fetch(name: str, path: Path) -> int:
    """Writes a data set as CSV.

    Args:
        name: Key of `DATASETS`.
        path: The file to write; it appears whole or not at all.

    Returns:
        Its number of rows.

    Raises:
        FetchError: If pip can't download the package that carries it.
    """
    dataset = DATASETS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        wheel = _download(dataset.wheel, Path(folder))
        with zipfile.ZipFile(wheel) as archive:
            rows = dataset.rows(archive)
    _write(rows, path)
    return len(rows)


def movielens_1m(folder: Path, path: Path) -> int:
    """Writes a user's own copy of MovieLens-1M as CSV.

    Args:
        folder: GroupLens' `ml-1m`, with `users.dat`, `movies.dat`, and `ratings.dat` or
            `ratings.csv.gz` (`user_id,movie_id,rating`, with a header).
        path: The file to write; it appears whole or not at all.

    Returns:
        Its number of rows, one a rating, with the columns `user_id`, `movie_id`,
        `rating`, `gender`, `age`, `occupation`, `zip`, `genres` (parted by `|`),
        `genre` (the first of them), `age_group` (`to-24`, `25-34`, `from-35`), and
        `timestamp` if the ratings have it.

    Raises:
        FetchError: If a file is missing.
    """
    ratings_file = folder / "ratings.csv.gz"
    if not ratings_file.exists():
        ratings_file = folder / "ratings.dat"
    for file in (ratings_file, folder / "users.dat", folder / "movies.dat"):
        if not file.exists():
            raise FetchError(
                f"expected MovieLens-1M's {file.name}, found no such file in {folder};"
                " name the folder ml-1m of GroupLens' archive"
            )
    if ratings_file.suffix == ".gz":
        ratings = pd.read_csv(ratings_file, dtype=str)
    else:
        ratings = _dat(ratings_file, "user_id", "movie_id", "rating", "timestamp")
    users = _dat(
        folder / "users.dat", "user_id", "gender", "age", "occupation", "zip"
    ).assign(age_group=lambda users: users["age"].map(_AGE_GROUPS_1M))
    movies = _dat(folder / "movies.dat", "movie_id", "title", "genres").assign(
        genre=lambda movies: movies["genres"].str.partition("|")[0]
    )
    rows = ratings.merge(users, on="user_id", validate="many_to_one").merge(
        movies.drop(columns="title"), on="movie_id", validate="many_to_one"
    )
    _write(rows, path)
    return len(rows)


_AGE_GROUPS_1M = {
    **dict.fromkeys(("1", "18"), "to-24"),
    "25": "25-34",
    **dict.fromkeys(("35", "45", "50", "56"), "from-35"),
}
"""The three scenarios of the public protocol, by the youngest age of a user's class.

Scenario-Wise-Rec: Li et al., "Scenario-Wise Rec: A Multi-Scenario Recommendation
Benchmark", 2024.
"""


def _dat(file: Path, *columns: str) -> pd.DataFrame:
    return pd.read_csv(
        file,
        sep="::",
        engine="python",
        names=list(columns),
        dtype=str,
        encoding="latin-1",
        keep_default_na=False,
    )


def _write(rows: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        rows.to_csv(part, index=False)
        part.replace(path)


def _download(wheel: Wheel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--dest", str(folder), "-r", str(requirements)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        # pip's warnings may name the index with its credentials.
        reason = re.sub(r"//[^/@\s]*@", "//", done.stderr.strip())
        raise FetchError(
            f"expected to download {wheel.requirement} from the package index, found:"
            f" {reason}; check the network and pip's configuration"
        )
    return wheels[0]
