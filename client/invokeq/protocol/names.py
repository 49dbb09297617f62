"""The names of providers: Dify's long ids, and the short names in an operator's configuration."""

import re
from typing import Final

_FULL_ID: Final = re.compile(r"langgenius/([A-Za-z0-9_-]+)/([A-Za-z0-9_-]+)")
# The one official plugin with a name other than the provider's.
_PLUGIN_OF: Final = {"google": "gemini"}


def canonical_provider(name: str) -> str:
    """Return the short name of a provider id: `langgenius/openai/openai` is `openai`.

    Ids of other organisations stay whole, so two providers called alike stay two. A short name
    is returned unchanged.
    """
    match = _FULL_ID.fullmatch(name) if "/" in name else None
    if match and match[1] == _PLUGIN_OF.get(match[2], match[2]):
        return match[2]
    return name
