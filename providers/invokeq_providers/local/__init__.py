"""Models that run inside the worker, without a key or a network. One file for each kind of model.

Remote vendors and plugin processes live elsewhere.
"""

import os

# Set before onnxruntime is imported: else onnxruntime reports home, and leaves a file in the
# temporary folder even where reporting fails.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from invokeq_providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
