"""TFX components that the stock ones don't cover."""
