"""The current Python environment as one archive that runs from any folder of another machine: a conda environment by conda-pack, any
other as a virtual environment that finds a Python of the same version where it is unpacked.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from shadho_like.engine.workqueue_environment import UNPACK
from shadho_like.errors import OptionError, WorldError

_QUICK = 1
_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
_SHEBANG = re.compile(rb"#![^\n]*python[^\n]*\n")
# Both a shell and Python read it: the shell runs the interpreter beside the script, for Python it is a string.
_RELATIVE = b"""#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
' '''
"""
_UNPACK = """#!/bin/sh
# Makes this folder a virtual environment of a Python {version} of this machine.
here=$(cd "$(dirname "$0")/.." && pwd -P) || exit 1
for python in "${{SHADHO_PYTHON:-}}" python{version} python3 python {base} /usr/bin/python{version} /usr/local/bin/python{version}; do
    found=$(PYTHONHOME='' PYTHONPATH='' command "$python" -E - {version} <<'END' 2>/dev/null
import os, sys
base = os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)
print(base if "%d.%d" % sys.version_info[:2] == sys.argv[1] and sys.implementation.name == "{implementation}" else "")
END
    )
    [ -n "$found" ] && break
done
if [ -z "$found" ]; then
    echo "it was packed for Python {version}, and there is none here: install one, or have its folder on the worker's PATH" >&2
    exit 1
fi
for name in python python3 python{version}; do ln -sf "$found" "$here/bin/$name" || exit 1; done
printf 'home = %s\\ninclude-system-site-packages = false\\nversion = {version}\\n' "${{found%/*}}" >"$here/pyvenv.cfg"
"""


@dataclass(frozen=True, slots=True)
class Packed:
    """An archive that was made.

    Attributes:
        path: of it.
        size: in bytes.
        left_out: the packages that do not travel, as they are installed from folders of their own.
    """

    path: Path
    size: int
    left_out: tuple[str, ...]


def pack(output: Path) -> Packed:
    """Write the environment of this process to a new file.

    Raises:
        OptionError: the file exists, or a conda environment is to be packed without conda-pack.
        WorldError: it cannot be written.
    """
    if output.exists():
        raise OptionError(f"{output} exists: remove it, or give another name with --output")
    partial = output.with_name(f".{output.name}.partial")
    try:
        if Path(sys.prefix, "conda-meta").is_dir():
            _conda(partial)
        else:
            _virtual(partial)
        os.replace(partial, output)
    except OSError as error:
        raise WorldError(f"{error.filename or output}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Packed(output, output.stat().st_size, tuple(sorted(_editable())))


def _conda(path: Path) -> None:
    if find_spec("conda_pack") is None:
        message = f"conda-pack packs conda environments, and {sys.prefix} has none: conda install -c conda-forge conda-pack"
        raise OptionError(message)
    import conda_pack

    try:
        conda_pack.pack(prefix=sys.prefix, output=str(path), format="tar.gz", compress_level=_QUICK, ignore_editable_packages=True)
    except conda_pack.CondaPackException as error:
        raise WorldError(f"conda-pack: {error}") from error


def _virtual(path: Path) -> None:
    with tarfile.open(path, "w:gz", compresslevel=_QUICK) as archive:
        base = shlex.quote(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
        unpack = _UNPACK.format(version=_VERSION, base=base, implementation=sys.implementation.name)
        _add(archive, f"bin/{UNPACK}", unpack.encode())
        for script in _scripts():
            data = script.read_bytes()
            _add(archive, f"bin/{script.name}", _SHEBANG.sub(_RELATIVE, data, count=1) if _SHEBANG.match(data) else data)
        packages = f"lib/python{_VERSION}/site-packages"
        for folder in dict.fromkeys(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")):
            for entry in sorted(folder.iterdir()):
                archive.add(entry, f"{packages}/{entry.name}", filter=_nobody)


def _scripts() -> Iterator[Path]:
    """Yield the programs that packages have installed; the interpreter's own are made where the archive is unpacked."""
    for path in sorted(Path(sysconfig.get_path("scripts")).iterdir()):
        if sys.prefix != sys.base_prefix and path.is_file() and not path.is_symlink() and not re.match(r"python|[Aa]ctivate", path.name):
            yield path


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o755
    archive.addfile(entry, io.BytesIO(data))


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return an entry that says nothing of this machine's users."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _editable() -> Iterator[str]:
    for package in metadata.distributions(path=[sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]):
        if '"editable": true' in (package.read_text("direct_url.json") or "") and package.name != "shadho_like":
            yield package.name
