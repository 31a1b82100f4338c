"""Names of features for TensorFlow, and of scenarios for reports and metrics."""

from __future__ import annotations

import hashlib
import keyword
import re
from collections.abc import Iterable

EMPTY = "(empty)"
"""What a scenario field without a value counts as, such as the country of an e-mail."""


def safe_name(feature: str) -> str:
    """A name for a feature that is a file, a scope and an argument to TensorFlow.

    It is the feature's own name if that will do. Otherwise a hash is added, so that no
    two are the same: `item id` and `item-id` would both be `item_id`. No argument can
    be called like a keyword of Python, or `self`, which methods have already.

    Args:
        feature: The feature, by its column.

    Example:

    >>> safe_name("item_id"), safe_name("item id"), safe_name("item-id")
    ('item_id', 'item_id_7d10b5b9', 'item_id_ecc212b9')
    """
    is_taken = keyword.iskeyword(feature) or feature == "self"
    if re.fullmatch("[A-Za-z][A-Za-z0-9_]*", feature) and not is_taken:
        return feature
    readable = re.sub("[^A-Za-z0-9]+", "_", feature).strip("_")
    digest = hashlib.blake2b(feature.encode(), digest_size=4).hexdigest()
    prefix = readable if readable[:1].isalpha() else f"feature_{readable}".rstrip("_")
    return f"{prefix}_{digest}"


def scenario_name(values: Iterable[str]) -> str:
    r"""What reports and metrics call a scenario: its values, with `/` between them.

    `EMPTY` stands for no value. A slash or backslash within one of several values has a
    backslash before it, so that no two scenarios have the same name.

    Args:
        values: The value of each field.

    Example:

    >>> print(scenario_name(["app", ""]), scenario_name(["tops/new", "app"]))
    app/(empty) tops\/new/app
    """
    texts = [value or EMPTY for value in values]
    if len(texts) == 1:
        return texts[0]
    return "/".join(text.replace("\\", r"\\").replace("/", r"\/") for text in texts)
