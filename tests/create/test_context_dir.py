"""What of a context directory travels, and what is refused before anything does."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from parts import lack

from shadho_like import context_dir
from shadho_like.context_dir import LARGEST_CONTEXT, Context, pack
from shadho_like.context_ignore import ignore_line
from shadho_like.errors import OptionError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "context").mkdir()
    return tmp_path / "context"


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def packed(folder: Path | None, *includes: Path) -> Context:
    base = folder.parent if folder else includes[0].parent
    return pack(folder, base / "context.tar", includes)


def names(context: Context) -> set[str]:
    return set(context.names)


def refusal(folder: Path, *includes: Path) -> str:
    (folder.parent / "context.tar").unlink(missing_ok=True)
    with pytest.raises(OptionError) as caught:
        packed(folder, *includes)
    assert not list(folder.parent.glob("context.tar*"))
    return str(caught.value)


def unpacked(context: Context) -> Path:
    target = context.archive.parent / "unpacked"
    target.mkdir()
    subprocess.run(["tar", "-xmof", context.archive], cwd=target, check=True)
    return target


def tree(folder: Path) -> dict[bytes, bytes]:
    """Return every file and link beneath a folder by its bytes; a folder that holds nothing too."""
    found: dict[bytes, bytes] = {}
    root = os.fsencode(folder)
    for here, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(here, name)
            inner = os.path.relpath(path, root)
            if os.path.islink(path):
                found[inner] = b"-> " + os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    found[inner] = file.read()
            elif not os.listdir(path):
                found[inner] = b"/"
    return found


def test_what_is_unpacked_is_what_was_there(folder: Path) -> None:
    write(folder, "train.py", "model/net.py", "new\nline", "a b/'quoted'", "-dash", "\udcff\udcfe.bin", "deep/" * 40 + "x" * 200)
    (folder / "empty").mkdir()
    (folder / "link").symlink_to("model/net.py")
    (folder / "model/up").symlink_to("../train.py")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o700)
    there = unpacked(packed(folder))
    assert tree(there) == tree(folder)
    assert os.access(there / "run.sh", os.X_OK)
    assert not os.access(there / "train.py", os.X_OK)


def test_the_same_code_has_the_same_digest(folder: Path) -> None:
    write(folder, "b", "a/c", "a/b")
    first = packed(folder).digest
    os.utime(folder / "b", (1, 1))
    (folder / "b").chmod(0o600)
    (folder / "a/c").rename(folder / "a/d")
    (folder / "a/d").rename(folder / "a/c")
    assert packed(folder).digest == first
    write(folder, "b", text="y")
    assert packed(folder).digest != first


def test_what_never_travels(folder: Path) -> None:
    write(folder, "train.py", "__pycache__/train.cpython-311.pyc", "old.pyc", ".git/config", "lib/.git", ".idea/x", ".vscode/x", ".venv/bin/python")
    write(folder, "train.py~", ".train.py.swp", "experiments/digits/journal.sqlite", "checkpoints/0/0.1.1/shadho_checkpoint.json", "lib/net.py")
    (folder / ".#train.py").symlink_to("somebody@somewhere:1")
    assert names(packed(folder)) == {"train.py", "lib", "lib/net.py", "experiments", "checkpoints", "checkpoints/0"}


def test_ignore_files(folder: Path) -> None:
    write(folder, "train.py", "data/a.bin", "data/b.txt", "logs/1.log", "logs/keep.log", "build/x/y")
    (folder / ".detignore").write_text("# what is big\n*.bin\n*.log\nbuild/\n!build/x\n")
    (folder / ".shadhoignore").write_bytes(b"\xef\xbb\xbf!keep.log\r\n")
    assert names(packed(folder)) == {".detignore", ".shadhoignore", "train.py", "data", "data/b.txt", "logs", "logs/keep.log"}
    (folder / ".shadhoignore").write_text("a/***/\\\n!\n")
    assert ".shadhoignore has a line that is no pattern" in refusal(folder)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("repository")
    if subprocess.run(["git", "init", "-q", path], check=False).returncode:
        lack("git is missing: apt-get install git")
    return path


NAMES = st.text("ab.\n[ \udcff", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=6)
PATTERNS = st.lists(st.text("ab./*?!\udcff", min_size=1, max_size=6), min_size=1, max_size=4)


def fill(folder: Path, paths: list[str]) -> None:
    subprocess.run(["find", folder, "-mindepth", "1", "-maxdepth", "1", "!", "-name", ".git", "-exec", "rm", "-rf", "{}", "+"], check=True)
    for path in paths:
        if not any(map(os.path.isfile, [os.path.join(folder, *path.split("/")[:end]) for end in range(1, path.count("/") + 1)])) and not (
            os.path.isdir(os.path.join(folder, path))
        ):
            write(folder, path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(paths=PATHS, patterns=PATTERNS)
@example(paths=["a\n", "a"], patterns=["a"])
@example(paths=["a/b/a", "b"], patterns=["a", "!a/b"])
def test_ignore_files_are_read_as_git_reads_them(repository: Path, paths: list[str], patterns: list[str]) -> None:
    fill(repository, paths)
    (repository / ".detignore").write_bytes(os.fsencode("\n".join(patterns)))
    command = ["git", "ls-files", "-z", "--others", "--exclude-from=.detignore"]
    told = subprocess.run(command, cwd=repository, capture_output=True, check=True).stdout
    by_git = {os.fsdecode(name) for name in told.split(b"\0") if name}
    try:
        context = pack(repository, repository.parent / "context.tar")
    except OptionError:
        assume(False)  # a line that is no pattern, which git passes over
        raise
    with tarfile.open(context.archive, encoding="utf-8", errors="surrogateescape") as tar:
        by_us = {info.name for info in tar if not info.isdir()}
    assert by_us == by_git


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text("ab *?[]!#\\\n\t é\udcff", min_size=1, max_size=5).filter(lambda name: name not in {".", ".."}))
def test_the_line_that_is_offered_leaves_a_file_out(repository: Path, name: str) -> None:
    fill(repository, [name, "other"])
    (repository / ".shadhoignore").write_bytes(os.fsencode(ignore_line(name) + "\n"))
    assert names(pack(repository, repository.parent / "context.tar")) == {".shadhoignore", "other"}


def test_too_large(folder: Path) -> None:
    write(folder, "train.py")
    with (folder / "limit.bin").open("wb") as file:
        file.truncate(LARGEST_CONTEXT - 1)
    assert packed(folder).size == LARGEST_CONTEXT
    for number in range(12):
        write(folder, f"data/part {number:02}", text="x" * (number + 1))
    assert refusal(folder) == (
        "the context has 99,614,798 bytes in 14 files, and no more than 99,614,720 (95 MiB) may travel. The largest:\n"
        "       99,614,719  /limit.bin\n"
        + "".join(f"  {number + 1:>15,}  /data/part {number:02}\n" for number in range(11, 2, -1))
        + "add the lines of those that no trial needs, without the sizes, to .shadhoignore in the context directory; "
        "data is better read from where all machines see it"
    )
    (folder / ".shadhoignore").write_text("/limit.bin\n/data/part 11\n")
    assert packed(folder).files == 13


def test_includes(folder: Path) -> None:
    write(folder, "train.py")
    write(folder.parent, "shared/util.py", "shared/__pycache__/util.pyc", "shared/old.log", "one.py")
    (folder.parent / "shared/.detignore").write_text("*.log\n")
    (folder.parent / "link.py").symlink_to("one.py")
    included = packed(folder, folder.parent / "shared", folder.parent / "link.py", folder.parent / "one.py")
    assert names(included) == {"train.py", "shared", "shared/.detignore", "shared/util.py", "one.py", "link.py"}
    assert refusal(folder, folder / "train.py") == f"{folder}/train.py has the same name as another file of the context: rename one of them"
    assert "include 'nowhere.py': there is no such file in " in refusal(folder, Path("nowhere.py"))
    with (folder.parent / "one.py").open("wb") as file:
        file.truncate(LARGEST_CONTEXT)
    assert "the context has 99,614,721 bytes in 2 files" in refusal(folder, folder.parent / "one.py")
    write(folder.parent, "one.py")
    assert names(packed(None, folder.parent / "one.py")) == {"one.py"}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("../outside", "links to what is outside of the context"),
        ("/etc/passwd", "is or leads to an absolute link"),
        ("../context/train.py", "links to what is outside of the context"),
        ("{folder}/train.py", "is or leads to an absolute link"),
        ("round/../../../context/train.py", "links to what is outside of the context"),
        ("round/../../../outside", "links to what is outside of the context"),
        ("hop", "links to what is outside of the context"),
    ],
)
def test_links_that_leave(folder: Path, target: str, why: str) -> None:
    write(folder, "train.py", "deep/er/x")
    write(folder.parent, "outside")
    (folder / "round").symlink_to("deep/er")
    if target == "hop":
        (folder / "hop").symlink_to("../outside")
    (folder / "link").symlink_to(target.format(folder=folder))
    assert f"{folder}/link {why}" in refusal(folder)


def test_cycles_of_links(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "self").symlink_to(".")
    write(folder, "deep/x")
    (folder / "deep/up").symlink_to("..")
    assert names(packed(folder)) == {"a", "b", "self", "deep", "deep/x", "deep/up"}


LINKS = st.lists(
    st.tuples(st.sampled_from(["x", "a/x", "a/b/x", "y", "a/y"]), st.lists(st.sampled_from(["..", "a", "b", "x", "y", "."]), max_size=5).map("/".join)),
    min_size=1,
    max_size=4,
    unique_by=lambda link: link[0],
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=LINKS)
def test_no_link_leads_out_of_where_it_is_unpacked(tmp_path_factory: pytest.TempPathFactory, links: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("links") / "a"
    (folder / "a/b").mkdir(parents=True)
    for path, target in links:
        (folder / path).symlink_to(target or ".")
    try:
        there = unpacked(packed(folder))
    except OptionError:
        return
    for path, _ in links:
        try:
            real = os.path.realpath(there / path, strict=True)
        except OSError:
            continue
        assert real == str(there) or real.startswith(f"{there}/")


def test_names_that_are_the_trials_own(folder: Path) -> None:
    write(folder, "result.json", "shadho_worker.py", "lib/result.json")
    why = "has a name that each trial's folder has for a file of its own: rename it, or leave it out with a line in .shadhoignore"
    assert refusal(folder) == f"{folder}/result.json {why}\n{folder}/shadho_worker.py {why}"


def test_what_is_no_file(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket"))
    assert re.fullmatch(r"(\S+/context/(pipe|socket) is no file, folder or link: leave it out with a line in .shadhoignore\n?){2}", refusal(folder))


def test_no_folder(folder: Path) -> None:
    assert "the context directory '" in refusal(folder / "nowhere")
    write(folder, "file")
    assert "is not there, or no folder" in refusal(folder / "file")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody may come to: to pytest's own only its user may, and each pytest that begins sees to that."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o777)
        Path(made, "context").mkdir()
        yield Path(made, "context")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Be somebody whom permissions bind."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_what_cannot_be_read(open_folder: Path, request: pytest.FixtureRequest) -> None:
    folder = open_folder
    write(folder, "open", "new\nline", "closed/x", ".shadhoignore", *(f"many/{number:02}" for number in range(12)))
    for path in ("new\nline", "closed", *(f"many/{number:02}" for number in range(12))):
        (folder / path).chmod(0)
    (folder / ".shadhoignore").write_text("")
    (folder / ".shadhoignore").chmod(0o666)
    request.getfixturevalue("nobody")
    why = "cannot be read: change its permissions, or leave it out with a line in .shadhoignore"
    said = refusal(folder).splitlines()
    assert said[0] == f"{folder}/closed {why}"
    assert said[-1] == f"... and 4 more: each {why}"
    (folder / ".shadhoignore").write_text("closed\nmany\n")
    assert refusal(folder) == f"'{folder}/new\\nline' {why}"
    (folder / ".shadhoignore").write_text("closed\nmany\nnew?line\n")
    assert names(packed(folder)) == {"open", ".shadhoignore"}


def test_a_file_that_changes_meanwhile(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "growing.log")
    size_is_known = context_dir._check_size

    def grow(entries: list[context_dir._Entry]) -> None:
        size_is_known(entries)
        write(folder, "growing.log", text="longer")

    monkeypatch.setattr(context_dir, "_check_size", grow)
    assert refusal(folder) == f"{folder}/growing.log changed while it was packed: try again when nothing writes to it"


@pytest.mark.timeout(1800)
def test_a_hundred_thousand_files(folder: Path) -> None:
    for number in range(100):
        (folder / f"{number:02}").mkdir()
        for file in range(1000):
            os.close(os.open(folder / f"{number:02}/{file}.{'txt' if file % 2 else 'log'}", os.O_CREAT | os.O_WRONLY))
    (folder / ".shadhoignore").write_text("*.tmp\nbuild/\n")
    context = packed(folder)
    assert context.files == 100_001
    assert len(tree(unpacked(context))) == 100_001
    (folder / ".shadhoignore").write_text("*.log\n")
    assert packed(folder).files == 50_001
