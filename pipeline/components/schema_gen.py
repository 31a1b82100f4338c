"""The schema of a data set: curated, or inferred from the first data and then kept."""

# No `from __future__ import annotations`: TFX reads the annotations of components.

import logging
from collections.abc import Collection
from pathlib import Path

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import ExampleStatistics, Schema

from midpg_tf.spec import DatasetSpec, MultivaluedFeature, NumericFeature

log = logging.getLogger("midpg.schema")

SCHEMA_FILE = "schema.pbtxt"
STATISTICS_FILE = "FeatureStats.pb"
"""Name of StatisticsGen's files."""

KEPT_STATISTICS = "statistics.pbtxt"
"""Name of the first data's statistics, in the folder of the kept schema."""

NEWEST_STATISTICS = "newest_statistics.pbtxt"
"""Name of those of the scenario fields in the newest data that passed, likewise."""

QUANTILES = 100
"""TFDV spreads a bucket's rows evenly between its ends. Of the ten buckets that are its
default, a value that repeats, such as stars, may end one or not, as chance has it: the
same rows then seem to drift."""

STATISTICS_OPTIONS = tfdv.StatsOptions(
    num_quantiles_histogram_buckets=QUANTILES,
    # Of TFDV's 1,000 nobody could tell whether a customer is new.
    num_rank_histogram_buckets=100_000,
)

LEAST_KNOWN_SHARE = 0.9
"""Share of a feature's values that must be in the domain inferred at first."""

SERVING = "SERVING"
NUMERIC = "numeric"


@component
def DatasetSchemaGen(  # noqa: N802
    statistics: InputArtifact[ExampleStatistics],
    schema: OutputArtifact[Schema],
    spec: Parameter[str],
    kept: Parameter[str],
) -> None:
    """Gives the schema that new data is held to.

    Args:
        statistics: Of the new data.
        schema: What to write.
        spec: The data-set description as JSON.
        kept: A folder. Without a curated schema, the schema comes from there, where
            `keep` left that of the first data that passed the data gate; of a feature
            that is new, or of another kind now, it is inferred. Delete it to infer all
            anew.

    Raises:
        ValueError: If the curated schema is no schema.
    """
    description = DatasetSpec.from_json(spec)
    folder = Path(kept)
    if description.data.schema_file:
        found = constrain(_curated(description.data.schema_file), description)
        log.info("schema %s", description.data.schema_file)
    elif found := kept_schema(folder):
        for feature in found.feature:
            feature.ClearField("drift_comparator")  # of the first run's description
        _update(found, _infer(statistics, description), description)
        found = constrain(found, description)
        log.info("schema kept from the first run: %s", folder / SCHEMA_FILE)
    else:
        found = constrain(_infer(statistics, description), description)
        log.info("schema inferred from the train split")
    Path(schema.uri).mkdir(parents=True, exist_ok=True)
    tfdv.write_schema_text(found, str(Path(schema.uri) / SCHEMA_FILE))


def _update(
    schema: schema_pb2.Schema, inferred: schema_pb2.Schema, spec: DatasetSpec
) -> None:
    """Leaves out features that the description has no more, and adds its new ones.

    One of another kind now is both.
    """
    names = {*spec.features, *spec.targets}
    same = names - other_kinds(schema, spec).keys()
    kept = [feature for feature in schema.feature if feature.name in same]
    missing = names - {feature.name for feature in kept}
    del schema.feature[:]
    schema.feature.extend(kept)
    _add(schema, inferred, missing)


def _add(
    schema: schema_pb2.Schema, other: schema_pb2.Schema, names: Collection[str]
) -> None:
    """Adds another schema's features of these names, with their domains."""
    domains = {domain.name: domain for domain in other.string_domain}
    for feature in other.feature:
        if feature.name not in names:
            continue
        added = schema.feature.add()
        added.CopyFrom(feature)
        if feature.HasField("domain"):
            # The schema may have others' values under this name.
            added.string_domain.CopyFrom(domains[feature.domain])
            added.string_domain.ClearField("name")


def keep(
    folder: Path, schema: schema_pb2.Schema, statistics: str, scenario: Collection[str]
) -> None:
    """Writes what later runs are held to; of what is there, all of the same kind stays.

    But for scenario fields, of which the newest data's statistics are kept, too.

    Args:
        folder: Where to.
        schema: Of data that has passed.
        statistics: The file of the statistics of its train split.
        scenario: Names of the fields.
    """
    found = tfdv.load_stats_binary(statistics)
    _keep_first(folder, schema, found)
    _leave_out(found, feature_names(found) - {*scenario})
    _write(found, folder / NEWEST_STATISTICS)


def _keep_first(
    folder: Path,
    schema: schema_pb2.Schema,
    found: statistics_pb2.DatasetFeatureStatisticsList,
) -> None:
    if kept := kept_schema(folder):
        before = {feature.name: _kind(feature) for feature in kept.feature}
        names = {
            feature.name
            for feature in schema.feature
            if before.get(feature.name) != _kind(feature)
        }
        if not names:
            return
        first = kept_statistics(folder, names)
        first.datasets[0].features.extend(
            feature
            for feature in found.datasets[0].features
            if feature.path.step[0] in names
        )
        found = first
        rest = [feature for feature in kept.feature if feature.name not in names]
        del kept.feature[:]
        kept.feature.extend(rest)
        _add(kept, schema, names)
        schema = kept
    _write(found, folder / KEPT_STATISTICS)
    # It is written last: what kind a feature has here, it has in the statistics, too.
    part = folder / f"{SCHEMA_FILE}.part"
    tfdv.write_schema_text(schema, str(part))
    part.replace(folder / SCHEMA_FILE)


def _write(statistics: statistics_pb2.DatasetFeatureStatisticsList, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    tfdv.write_stats_text(statistics, str(part))
    part.replace(file)


def kept_schema(folder: Path) -> schema_pb2.Schema | None:
    """The schema that `keep` left in a folder, if it left all."""
    if not all((folder / name).exists() for name in (SCHEMA_FILE, KEPT_STATISTICS)):
        return None
    return tfdv.load_schema_text(str(folder / SCHEMA_FILE))


def kept_statistics(
    folder: Path, leave_out: Collection[str]
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """The statistics that `keep` left in a folder.

    Args:
        folder: The folder.
        leave_out: Names of features.
    """
    found = tfdv.load_stats_text(str(folder / KEPT_STATISTICS))
    _leave_out(found, leave_out)
    return found


def newest_statistics(
    folder: Path,
) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    """Those of the scenario fields that `keep` left of the newest data, if it did."""
    file = folder / NEWEST_STATISTICS
    return tfdv.load_stats_text(str(file)) if file.exists() else None


def _leave_out(
    statistics: statistics_pb2.DatasetFeatureStatisticsList, names: Collection[str]
) -> None:
    (dataset,) = statistics.datasets
    rest = [f for f in dataset.features if f.path.step[0] not in names]
    del dataset.features[:]
    dataset.features.extend(rest)


def other_kinds(schema: schema_pb2.Schema, spec: DatasetSpec) -> dict[str, str]:
    """The features that a schema has as another kind than the description.

    Args:
        schema: One that `constrain` has changed, for any description.
        spec: The description.

    Returns:
        The schema's kind by name. Features that only one of the two has aren't there.
    """
    now = kinds(spec)
    found = {feature.name: _kind(feature) for feature in schema.feature}
    return {name: kind for name, kind in found.items() if now.get(name, kind) != kind}


def kinds(spec: DatasetSpec) -> dict[str, str]:
    """The kind of each feature, and of label and weight, by name."""
    features = {name: feature.kind for name, feature in spec.features.items()}
    return dict.fromkeys(spec.targets, NUMERIC) | features


def _kind(feature: schema_pb2.Feature) -> str:
    """The kind that a description had when `constrain` changed the feature."""
    if feature.type == schema_pb2.FLOAT:
        return NUMERIC
    return "categorical" if feature.HasField("shape") else "multivalued"


def feature_names(
    statistics: statistics_pb2.DatasetFeatureStatisticsList,
) -> set[str]:
    """The features that there are statistics of."""
    return {
        feature.path.step[0]
        for dataset in statistics.datasets
        for feature in dataset.features
    }


def split_statistics(statistics: ExampleStatistics, split: str) -> str:
    """The file of a split's statistics."""
    folder = artifact_utils.get_split_uri([statistics], split)
    return str(Path(folder) / STATISTICS_FILE)


def constrain(schema: schema_pb2.Schema, spec: DatasetSpec) -> schema_pb2.Schema:
    """Adds what the description knows: shapes, bounds on drift, what requests lack.

    Args:
        schema: Inferred or curated. A feature's own bound on drift stays.
        spec: The description.

    Returns:
        The same schema, changed.
    """
    schema.default_environment[:] = ["TRAINING", SERVING]
    for feature in schema.feature:
        if isinstance(spec.features.get(feature.name), MultivaluedFeature):
            # Any number of values, also if each row has had the same number so far.
            feature.ClearField("shape")
        else:
            # One value in each row; TensorFlow Transform then gives `(batch,)`.
            feature.presence.min_fraction = 1.0
            feature.shape.ClearField("dim")
            feature.shape.SetInParent()
        if feature.name in spec.targets:
            feature.not_in_environment[:] = [SERVING]
            continue
        drift = feature.drift_comparator
        if isinstance(spec.features.get(feature.name), NumericFeature):
            divergence = drift.jensen_shannon_divergence
            if not divergence.HasField("threshold"):
                divergence.threshold = spec.data.drift.numeric
            # Bins of equal width, TFDV's default, would put nearly all prices in one,
            # and where it ends would depend on the dearest item.
            divergence.source.type = schema_pb2.HistogramSelection.QUANTILES
        elif not drift.infinity_norm.HasField("threshold"):
            drift.infinity_norm.threshold = spec.data.drift.categorical
    return schema


def _curated(path: str) -> schema_pb2.Schema:
    try:
        return tfdv.load_schema_text(path)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a TFDV schema in text format, found {error};"
            " correct the file, or data.schema_file"
        ) from error


def _infer(statistics: ExampleStatistics, spec: DatasetSpec) -> schema_pb2.Schema:
    schema = tfdv.infer_schema(
        tfdv.load_stats_binary(split_statistics(statistics, "train"))
    )
    for feature in schema.feature:
        # A flag or a number that is a category is text: one other value, or none, is no
        # reason to stop a run.
        feature.ClearField("bool_domain")
        feature.ClearField("int_domain")
        # A new value now and then is what out-of-vocabulary buckets are for.
        if feature.HasField("domain") or feature.HasField("string_domain"):
            feature.distribution_constraints.min_domain_mass = LEAST_KNOWN_SHARE
        if isinstance(spec.features.get(feature.name), MultivaluedFeature):
            feature.ClearField("value_count")  # a row without any is none amiss
    return schema
