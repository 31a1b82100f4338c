"""What is raised when the data of a data-set description can't be used."""

from __future__ import annotations


class IngestError(ValueError):
    """Files or rows don't match the description; the message has one line a problem."""
