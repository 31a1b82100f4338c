"""The commands of `midpg`, but those that `serving` has."""
