"""The environment variables of a plugin's process: system settings, no credentials.

The environment of a worker holds the keys of all providers, which no plugin may see.
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
    """Return the variables for a plugin's process."""
    return {name: value for name, value in environment.items() if _INHERITED.fullmatch(name)}


def installer_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for pip: also the package index and the configuration."""
    own = {name: value for name, value in environment.items() if _INSTALLER.fullmatch(name)}
    return {**plugin_variables(environment), **own}
