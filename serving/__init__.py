"""SavedModels: exported, served as by TensorFlow Serving, and asked by clients."""

import os as _os

# As `midpg_tf` does, and here too because this runs before any module of the package
# can import TensorFlow, which the sorting of imports would put before `midpg_tf`.
_os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
_os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
