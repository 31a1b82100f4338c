"""What production sends against what the model was trained on."""

import tfx  # noqa: F401  before any TFDV: it provides what TFDV 1.16 lacks
