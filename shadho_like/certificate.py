"""The key and the certificate of a search whose manager speaks SSL, beside its password. Made by openssl."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import shadho_rendezvous

from shadho_like import rendezvous
from shadho_like.errors import WorldError

_DAYS = 3650


def files(name: str) -> tuple[Path, Path]:
    """Return the files with the key and the certificate of the searches of this name; made, for this user alone, where there are none.

    Raises:
        WorldError: openssl is not installed, or the folder cannot be written.
    """
    # It makes the folder, and sees to it that it is this user's.
    folder = rendezvous.password_file(name).parent
    stem = shadho_rendezvous.file_name(name)
    key, certificate = folder / f"{stem}.key.pem", folder / f"{stem}.cert.pem"
    if not key.is_file() or not certificate.is_file():
        _make(key, certificate)
    return key, certificate


def _make(key: Path, certificate: Path) -> None:
    partial = [path.with_name(f"{path.name}.{os.getpid()}") for path in (key, certificate)]
    about = ["-x509", "-newkey", "rsa:2048", "-sha256", "-nodes", "-batch", "-days", str(_DAYS), "-subj", "/CN=shadho_like"]
    command = ["openssl", "req", *about, "-keyout", str(partial[0]), "-out", str(partial[1])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise WorldError(f"{shlex.join(command)} failed: {done.stderr.strip()}")
        partial[0].chmod(0o600)
        for made, path in zip(partial, (key, certificate), strict=True):
            os.replace(made, path)
    except FileNotFoundError as error:
        message = "openssl is not on the PATH, which makes the certificate for ssl: install it, or give ssl_key and ssl_cert"
        raise WorldError(message) from error
    except OSError as error:
        raise WorldError(f"{error.filename}: {error.strerror}; set SHADHO_HOME to a folder of your own") from error
    finally:
        for path in partial:
            path.unlink(missing_ok=True)
