"""Where a data set's rows are, and which of them train, tune and test a model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, model_validator

from midpg_tf.spec.section import Column, LocalPath, Section

SPLITS = ("train", "eval", "test")
"""Fit on `train`, stop early on `eval`, judge on `test`."""

Share = Annotated[float, Field(gt=0, lt=1)]


class _Shares(Section):
    eval: Share = 0.1
    test: Share = 0.1

    @model_validator(mode="after")
    def _leave_rows_to_train_on(self) -> Self:
        if self.eval + self.test >= 1:
            raise ValueError(
                "eval and test must leave rows to train on: expected a sum below 1,"
                f" found {self.eval + self.test:g}"
            )
        return self


class TimeSplit(_Shares):
    """The newest rows are the test split, those just before them the eval split.

    Args:
        column: A column that sorts by time: a number, or an ISO 8601 text, which is UTC
            unless it has a time zone.
        eval: Share of rows. Default 0.1.
        test: Share of rows. Default 0.1.
    """

    by: Literal["time"]
    column: Column


class HashSplit(_Shares):
    """At random, but the same for every run: by a hash of some columns.

    Give `columns`, unless features never change: without them, a new feature, or
    another `default` of one, draws another split, and the model in production, which
    was trained on rows of the new test split, isn't compared with.

    Args:
        columns: Rows that agree in these stay together (for example `[user_id]`), and
            go the same way when features are added; rows without a value in any of
            them go each their own way, by their features. Default: each row goes its
            own way, by its features, not its label.
        eval: Share of rows. Default 0.1.
        test: Share of rows. Default 0.1.
        seed: Another one draws another split: it salts the hash. Default 0.
    """

    by: Literal["hash"]
    columns: tuple[Column, ...] = ()
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0


class ColumnSplit(Section):
    """A column says `train`, `eval` or `test` in each row.

    Args:
        column: The column.
    """

    by: Literal["column"]
    column: Column


class FileSplit(Section):
    """Each split has files of its own: names or globs, relative to `data.path`.

    Args:
        train: The files to fit on.
        eval: Those to stop early on.
        test: Those to judge on.
    """

    by: Literal["files"]
    train: str
    eval: str
    test: str


Split = Annotated[
    TimeSplit | HashSplit | ColumnSplit | FileSplit, Field(discriminator="by")
]


class Drift(Section):
    """How far new data may move from the data that the schema was inferred from.

    Args:
        categorical: Largest L-infinity distance of a feature's value frequencies.
            Default 0.3.
        numeric: Largest Jensen-Shannon divergence of a feature's values. Default 0.3.
    """

    categorical: Share = 0.3
    numeric: Share = 0.3


class DataSource(Section):
    """The rows of a data set.

    Args:
        format: `csv` (with a header line), `parquet` or `tfrecord` (tf.Example).
        path: A file, a glob, or (with `split: {by: files}`) a folder; relative to
            the data-set file.
        split: How rows are split. Default: by a hash of all features, 8:1:1.
        schema_file: A curated TFDV schema (text format), relative to the data-set
            file. Default: inferred from the first run's train split, then kept.
        drift: Bounds on drift between that first data and new data; between the train
            split and the others, what is beyond them is noted. A curated schema's own
            ones come first.
        min_scenario_rows: A scenario with fewer rows in the train split is an error.
            Default 0: any number will do, none too.
    """

    format: Literal["csv", "parquet", "tfrecord"]
    path: str
    split: Split = HashSplit(by="hash")
    schema_file: LocalPath | None = None
    drift: Drift = Drift()
    min_scenario_rows: NonNegativeInt = 0
