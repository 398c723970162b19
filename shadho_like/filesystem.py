"""What kind of file system a path is on, as far as it changes how files may be used."""

from __future__ import annotations

from pathlib import Path

_LOCAL = {"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}


def is_local(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Return whether `path` is surely on a file system of this machine alone; False where that cannot be known."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    where = str(path.resolve())
    best, kind = "", ""
    for line in lines:
        head, _, tail = line.partition(" - ")
        point = head.split(" ")[4].replace("\\040", " ")
        if (where == point or where.startswith(point.rstrip("/") + "/")) and len(point) >= len(best):
            best, kind = point, tail.split(" ")[0]
    return kind in _LOCAL
