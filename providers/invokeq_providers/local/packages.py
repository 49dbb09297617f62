"""Find the folders of optional packages, without an import."""

import importlib.util
from pathlib import Path

from invokeq.protocol.errors import MissingExtraError, MissingWeightsError


def package_folder(
    module: str, *, feature: str, extra: str = "local", weights: str | None = None
) -> Path:
    """Return the folder of an installed package. Raise MissingExtraError without the package.

    `weights` names a distribution that holds a model, is installed without dependencies, and
    belongs to no extra; the error is then MissingWeightsError.
    """
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    if weights is not None:
        raise MissingWeightsError(feature=feature, package=weights, extra=extra)
    raise MissingExtraError(feature=feature, package=module, extra=extra)
