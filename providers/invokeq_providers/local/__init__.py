"""Models that run inside the worker: no key, no network. One file a kind of model."""

import os

# onnxruntime reports home unless this is set before it is imported, and leaves a file in the
# temporary folder even where it cannot.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from invokeq_providers.local.provider import LocalProvider

__all__ = ["LocalProvider"]
