"""Commands that run what a data set's runs have pushed."""
