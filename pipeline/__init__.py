"""The TFX pipeline, its gates, and the command line."""
