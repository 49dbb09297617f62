"""Finds what optional packages bring, without importing them."""

import importlib.util
from pathlib import Path

from invokeq.protocol.errors import MissingExtraError, MissingWeightsError


def package_folder(
    module: str, *, feature: str, extra: str = "local", weights: str | None = None
) -> Path:
    """Give the folder of an installed package, or raise `MissingExtraError`.

    `weights` is the name of a distribution that holds a model, comes without its dependencies, and
    is no part of an extra: `MissingWeightsError` names it.
    """
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    if weights is not None:
        raise MissingWeightsError(feature=feature, package=weights, extra=extra)
    raise MissingExtraError(feature=feature, package=module, extra=extra)
