"""Commands that ask a server, and what they share with those of `pipeline`."""
