"""A plugin on disk: a folder, or a .difypkg file, which is a folder in a zip file."""

import hashlib
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from invokeq.dify.plugins.cache import cache_folder
from invokeq.dify.plugins.manifest import MANIFEST, PluginManifest, parse_manifest, read_yaml
from invokeq.protocol.errors import InvalidConfigurationError
from invokeq.protocol.permissions import DeclaredPermissions, declared_permissions

PACKAGE_SUFFIX: Final = ".difypkg"

_MAX_FILES: Final = 20_000
_MAX_BYTES: Final = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class PluginPackage:
    """A plugin with a checked manifest; `directory` is absolute."""

    directory: Path
    manifest: PluginManifest
    permissions: DeclaredPermissions

    @property
    def id(self) -> str:
        """Return the platform's id of the plugin: author/name."""
        return f"{self.manifest.author}/{self.manifest.name}"

    def read_yaml(self, relative: str) -> dict[str, Any]:
        """Read a YAML file of the plugin by a path relative to the folder."""
        return read_yaml(self.directory / relative, self.directory)


def load_package(path: Path | str) -> PluginPackage:
    """Load the manifest of a plugin's folder or .difypkg file.

    Raises InvalidConfigurationError with file and field, or MissingExtraError without PyYAML.
    """
    folder = Path(path).expanduser().absolute()
    if folder.suffix == PACKAGE_SUFFIX and folder.is_file():
        folder = _unpacked(folder)
    if not folder.is_dir():
        raise _wrong(folder, "there is no such folder, nor a .difypkg file")
    file = folder / MANIFEST
    content = read_yaml(file, folder)
    manifest = parse_manifest(content, str(file))
    _check_entry_point(folder, manifest, str(file))
    return PluginPackage(folder, manifest, declared_permissions(content, str(file)))


def _check_entry_point(folder: Path, manifest: PluginManifest, source: str) -> None:
    module = manifest.meta.runner.entrypoint
    base = folder.joinpath(*module.split("."))
    if not (base.with_suffix(".py").is_file() or (base / "__main__.py").is_file()):
        raise InvalidConfigurationError(
            source=source,
            setting="meta.runner.entrypoint",
            problem=f"there is no module {module!r} in {folder}",
        )


def _unpacked(file: Path) -> Path:
    """Return the folder of an unpacked package, in the cache under the file's digest."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    folder = cache_folder("packages") / digest
    if folder.is_dir():
        return folder
    # Unpacked beside and renamed in one step, so that no process sees half a package.
    beside = Path(tempfile.mkdtemp(prefix=f"{digest}.", dir=folder.parent))
    try:
        _unpack(file, beside)
        try:
            beside.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have been faster
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _unpack(file: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > _MAX_FILES or sum(m.file_size for m in members) > _MAX_BYTES:
                raise _wrong(file, f"holds over {_MAX_FILES} files or {_MAX_BYTES} bytes")
            # zipfile would drop `..` silently; such a package may be an attack.
            for member in members:
                name = member.filename
                if name.startswith(("/", os.sep)) or ".." in Path(name).parts:
                    raise _wrong(file, f"holds a file outside of itself: {name}")
            archive.extractall(folder, members)  # reads no more of a member than its declared size
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise _wrong(file, f"is not a plugin package ({error})") from None


def _wrong(path: Path, problem: str) -> InvalidConfigurationError:
    return InvalidConfigurationError(source=str(path), setting="path", problem=problem)
