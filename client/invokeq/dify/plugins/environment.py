"""Prepares the Python environment of a plugin: a separate venv, cached for later runs.

An environment is built in the final place, because moving a venv breaks its scripts. The build runs
under a file lock, and other processes wait. An environment counts only with a marker file, which is
written last.
"""

import asyncio
import fcntl
import os
import re
import shutil
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from invokeq.dify.plugins.cache import cache_folder
from invokeq.dify.plugins.interpreters import find_interpreter
from invokeq.dify.plugins.package import PluginPackage
from invokeq.dify.plugins.requirements import Requirements, read_requirements
from invokeq.dify.plugins.variables import installer_variables
from invokeq.protocol.errors import PluginEnvironmentError

_MARKER: Final = ".complete"
_LOCK_POLL_S: Final = 0.2  # flock has no asyncio twin that can be cancelled
_TAIL_LINES: Final = 15
_QUIETLY: Final = ("--disable-pip-version-check", "--no-color")
_CREDENTIALS: Final = re.compile(r"//[^/\s@]+@")


async def prepare_environment(package: PluginPackage) -> Path:
    """Return the Python of the plugin's own venv; the first call builds the venv, which is slow.

    Raises PluginEnvironmentError with the end of pip's output, and InvalidConfigurationError for
    unreadable requirements.
    """
    requirements = read_requirements(package)
    interpreter = find_interpreter(package.manifest.meta.runner.version)
    folder = cache_folder("environments") / requirements.digest(str(interpreter))
    python = folder / "bin" / "python"
    if _is_complete(folder):
        return python
    async with _locked(folder.with_suffix(".lock")):
        if not _is_complete(folder):  # another process may have built it while we waited
            try:
                await _build(folder, interpreter.path, requirements, package)
            except BaseException:  # Ctrl-C during pip, too
                shutil.rmtree(folder, ignore_errors=True)
                raise
    return python


def _is_complete(folder: Path) -> bool:
    return (folder / _MARKER).is_file()


async def _build(
    folder: Path, python: Path, requirements: Requirements, package: PluginPackage
) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # left by a process that died
    await _run([str(python), "-m", "venv", str(folder)], package)
    wanted, locked = folder / "requirements.txt", folder / "constraints.txt"
    wanted.write_text(requirements.wanted, encoding="utf-8")
    locked.write_text(requirements.locked, encoding="utf-8")
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-input", "-q", *_QUIETLY]
    await _run([*pip, "-r", str(wanted), "-c", str(locked)], package)
    # Last: a build that is killed before this line does not count.
    (folder / _MARKER).touch()


async def _run(command: Sequence[str], package: PluginPackage) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=package.directory,  # paths in requirements are relative to it
        env=installer_variables(os.environ),
    )
    try:
        # A cancelled `communicate` leaves the process running.
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        # pip quotes the index's address, which may hold a password.
        lines = _CREDENTIALS.sub("//***@", output.decode(errors="replace")).strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")]
        status = f"{command[2]} ended with status {process.returncode}"
        last = (errors or lines or [status])[-1]
        raise PluginEnvironmentError(
            plugin=package.id, problem=last, output="\n".join(lines[-_TAIL_LINES:])
        )


@asynccontextmanager
async def _locked(file: Path) -> AsyncGenerator[None, None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(handle)  # releases the lock
