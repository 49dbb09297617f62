"""Which environment variables a plugin's process inherits: those of the system, no credentials.

The environment of a worker holds the keys of all its providers; a plugin has no business with them.
"""

import re
from collections.abc import Mapping

_INHERITED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|TMPDIR|TEMP|TMP"
    r"|LD_LIBRARY_PATH|DYLD_\w+|XDG_CACHE_HOME|SYSTEMROOT"
    r"|(HTTP|HTTPS|FTP|ALL|NO)_PROXY"
    r"|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|PIP_CERT",
    re.IGNORECASE,
)
_INSTALLER = re.compile(r"PIP_\w+|XDG_CONFIG_(HOME|DIRS)")


def plugin_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep what a plugin's process may see of an environment."""
    return {name: value for name, value in environment.items() if _INHERITED.fullmatch(name)}


def installer_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Keep what pip needs besides: which index to use, and how to get at it."""
    own = {name: value for name, value in environment.items() if _INSTALLER.fullmatch(name)}
    return {**plugin_variables(environment), **own}
