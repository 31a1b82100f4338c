"""TFX components that the stock ones don't cover."""

import tfx  # noqa: F401  before any TFDV: it provides what TFDV 1.16 lacks
