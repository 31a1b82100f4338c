"""The TFX pipeline, its gates, and the command line."""

import os as _os

# As `serving` does: TFX, which the sorting of imports puts first, settles which Keras.
_os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
_os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
