"""Which version a row goes to."""

import hashlib
import math
from decimal import Decimal

import numpy as np
import pytest

from midpg_tf.spec import RowError
from serving.client.choice import Canary, VersionChoice


def test_a_version_or_a_label():
    assert VersionChoice().is_newest
    assert VersionChoice(version=7).model_spec("m").version.value == 7
    # 0 is a version like any other, not the lack of one.
    assert not VersionChoice(version=0).is_newest
    assert VersionChoice(version=0).model_spec("m").HasField("version")
    named = VersionChoice(label="stable").model_spec("m", "signature")
    assert (named.name, named.signature_name) == ("m", "signature")
    assert named.version_label == "stable"
    with pytest.raises(ValueError, match="found version 0 and label 'stable'"):
        VersionChoice(0, "stable")


def canary(share, key="user"):
    return Canary("canary", share, key)


def taken(share, model="m"):
    return {user for user in range(10_000) if canary(share).takes(model, user)}


def test_a_key_is_in_it_by_its_hash_alone():
    # So that every client, of whatever language, can say the same.
    digest = hashlib.blake2b(b"m\x00u17", digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    assert canary(place + 1e-9).takes("m", "u17")
    assert not canary(place - 1e-9).takes("m", "u17")


def test_the_share_is_kept_and_grows_by_new_keys_only():
    small, large = taken(0.05), taken(0.2)

    for found, share in ((small, 0.05), (large, 0.2)):
        # Five standard deviations of a binomial count.
        bound = 5 * math.sqrt(10_000 * share * (1 - share))
        assert abs(len(found) - 10_000 * share) < bound
    assert small < large
    assert taken(0) == set()
    assert len(taken(1)) == 10_000


def test_models_have_canaries_of_their_own():
    both = taken(0.2) & taken(0.2, "other")

    assert abs(len(both) - 400) < 5 * math.sqrt(10_000 * 0.04 * 0.96)


@pytest.mark.parametrize("same", [7, "7", b"7"])
def test_a_number_is_its_text(same):
    assert [canary(s / 100).takes("m", same) for s in range(100)] == [
        canary(s / 100).takes("m", "7") for s in range(100)
    ]


@pytest.mark.parametrize("nobody", ["", None])
def test_nobody_is_not_in_it(nobody):
    assert not canary(1.0).takes("m", nobody)


def test_a_whole_decimal_is_the_integer_that_it_is():
    for user in range(20):
        taken = canary(0.5).takes("m", user)
        assert canary(0.5).takes("m", Decimal(user)) == taken


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (np.bool_(False), "false"), (np.int64(7), "7")]
)
def test_a_key_is_the_text_that_a_categorical_feature_has_for_it(value, text):
    assert [canary(s / 100).takes("m", value) for s in range(100)] == [
        canary(s / 100).takes("m", text) for s in range(100)
    ]


def test_users_stay_in_a_canary():
    users = [*range(40), *(f"u{number}" for number in range(40))]

    # The same by each version of the client.
    taken = [user for user in users if canary(0.1).takes("shop", user)]
    assert taken == [4, 13, 21, 28, 38, "u12", "u27", "u30", "u31"]


@pytest.mark.parametrize("value", [1.5, Decimal("1.5"), "\ud800", ["u"]])
def test_a_key_is_text_or_an_integer(value):
    with pytest.raises(RowError, match=r"'user': expected (text or an int|Unicode)"):
        canary(0.5).takes("m", value)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_a_share_is_from_0_to_1(share):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        canary(share)
