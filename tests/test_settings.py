"""What a user may set, and what is said when it cannot be: whole texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shadho_like.engine.workqueue_options import WorkQueueOptions
from shadho_like.errors import OptionError, WorldError
from shadho_like.resources import Resources
from shadho_like.settings import Settings

KNOWN = "Known: address, catalog, cores, disk, environment, gpu_memory, gpu_model, gpus, memory, name, password_file, port, python, ssl, ssl_cert, ssl_key."


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, with the current one in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SHADHO_HOME", raising=False)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def said(path: Path, text: str) -> str:
    """Return what is said of a file."""
    path.write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        Settings.load()
    return str(caught.value)


def test_nothing_is_set_at_first(home: Path) -> None:
    settings = Settings.load()
    assert settings.workqueue.name is None
    assert settings.workqueue.resources() == Resources()
    password = home / ".shadho_like/rendezvous/sin.password"
    assert settings.workqueue.engine_options("sin") == WorkQueueOptions(name="sin", password_file=str(password))
    assert password.stat().st_mode & 0o777 == 0o600
    secret = password.read_text(encoding="ascii")
    settings.workqueue.engine_options("sin")
    settings.workqueue.engine_options("cos")
    assert password.read_text(encoding="ascii") == secret != password.with_name("cos.password").read_text(encoding="ascii")


def test_a_password_that_others_can_read_is_refused(home: Path) -> None:
    Settings().workqueue.engine_options("sin")
    password = home / ".shadho_like/rendezvous/sin.password"
    password.chmod(0o644)
    with pytest.raises(WorldError, match="is no password that only you can read: remove it, and another is made"):
        Settings().workqueue.engine_options("sin")


def test_what_is_set_reaches_the_engine(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret", encoding="utf-8")
    workqueue = Settings().workqueue
    workqueue.name = "shadho_sin_ex"
    workqueue.port = "9000-9100"
    workqueue.catalog = "localhost:9097"
    workqueue.password_file = str(tmp_path / "password")
    workqueue.cores, workqueue.memory, workqueue.disk, workqueue.gpus = 2, 4096, 1000, 1
    assert workqueue.resources() == Resources(cores=2, memory_mb=4096, disk_mb=1000, gpus=1)
    assert workqueue.engine_options("other") == WorkQueueOptions(
        name="shadho_sin_ex", port="9000-9100", catalog="localhost:9097", password_file=str(tmp_path / "password")
    )


def test_gpus_by_share_model_and_memory(home: Path) -> None:
    (home / ".shadhorc").write_text("[workqueue]\ngpus = 0.5\ngpu_model = A100\ngpu_memory = 40000\n", encoding="utf-8")
    resources = Settings.load().workqueue.resources()
    assert resources == Resources(gpus=0.5, gpu_model="A100", gpu_memory_mb=40000)
    assert (resources.gpu_slots, resources.jobs_per_gpu) == (1, 2)
    assert (Resources(gpu_model="A100").gpu_slots, Resources().gpu_slots, Resources(gpus=0).gpu_slots) == (1, None, 0)
    assert [Resources(gpus=share).jobs_per_gpu for share in (2, 1, 0.34, 0.33, 1 / 3, 0.1)] == [1, 1, 2, 3, 3, 10]
    with pytest.raises(OptionError, match="gpus is 0, but gpu_memory or gpu_model is set"):
        Resources(gpus=0, gpu_model="A100")


def test_two_searches_share_no_settings() -> None:
    Settings().workqueue.name = "one"
    assert Settings().workqueue.name is None


@pytest.mark.parametrize(
    ("key", "value", "takes"),
    [
        ("name", 3, "a text, not 3"),
        ("name", "", "a text, not ''"),
        ("name", "a\nb", "a text, not 'a\\nb'"),
        ("port", 70000, 'a port, a range like "9000-9100", or 0 for any free port, not 70000'),
        ("port", "9100-9000", "a port, a range like \"9000-9100\", or 0 for any free port, not '9100-9000'"),
        ("port", True, 'a port, a range like "9000-9100", or 0 for any free port, not True'),
        ("catalog", "host:port", "host:port of a catalog server, not 'host:port'"),
        ("cores", "four", "a whole number of at least 0, not 'four'"),
        ("gpus", -1, "a whole number of at least 0, or a share of one GPU such as 0.5, not -1"),
        ("gpus", 1.5, "a whole number of at least 0, or a share of one GPU such as 0.5, not 1.5"),
        ("gpus", True, "a whole number of at least 0, or a share of one GPU such as 0.5, not True"),
        ("memory", 1.5, "a whole number of at least 0, not 1.5"),
    ],
)
def test_a_value_that_cannot_be(key: str, value: Any, takes: str) -> None:
    with pytest.raises(OptionError) as caught:
        setattr(Settings().workqueue, key, value)
    assert str(caught.value) == f"config.workqueue.{key} takes {takes}"


def test_a_name_that_is_none() -> None:
    settings = Settings()
    with pytest.raises(OptionError) as caught:
        settings.workqueue.nmae = "x"
    assert str(caught.value) == f"config.workqueue has no setting 'nmae': did you mean 'name'? {KNOWN}"
    with pytest.raises(OptionError, match="config.workqueue has no setting 'core': did you mean 'cores'"):
        _ = settings.workqueue.core
    with pytest.raises(OptionError, match="config has no section 'work_queue': did you mean 'workqueue'"):
        _ = settings.work_queue
    with pytest.raises(OptionError, match="config has no section 'name'"):
        settings.name = "x"
    with pytest.raises(OptionError, match="config.workqueue is a section"):
        settings.workqueue = "x"  # type: ignore[assignment]


def test_a_password_file_that_is_not_there(home: Path) -> None:
    settings = Settings()
    settings.workqueue.password_file = "nowhere"
    with pytest.raises(OptionError, match=f"there is no file 'nowhere' in {home}/here"):
        settings.workqueue.engine_options("x")


def test_the_file_here_goes_before_the_one_at_home(home: Path) -> None:
    (home / ".shadhorc").write_text("[workqueue]\nname = home\nport = 9123\n", encoding="utf-8")
    assert (Settings.load().workqueue.name, Settings.load().workqueue.port) == ("home", 9123)
    (home / "here/.shadhorc").write_text("[workqueue]\nName = here\nport: 9000-9100\ncores = 4\n", encoding="utf-8")
    workqueue = Settings.load().workqueue
    assert (workqueue.name, workqueue.port, workqueue.cores) == ("here", "9000-9100", 4)


def test_a_wrong_line_is_named(home: Path) -> None:
    path = home / "here/.shadhorc"
    start = f"{path}, line"
    text = "# mine\n[workqueue]\nname = a\npotr = 9000\n"
    assert said(path, text) == f"{start} 4: config.workqueue has no setting 'potr': did you mean 'port'? {KNOWN}"
    text = "[workqueue]\n\ncores = many\n"
    assert said(path, text) == f"{start} 3: config.workqueue.cores takes a whole number of at least 0, not 'many'"
    text = "[workqueue]\ncores = 1\n\n[globl]\n"
    assert said(path, text) == f"{start} 4: config has no section 'globl': Known: workqueue."
    assert said(path, "name = a\n").startswith(f"{path} cannot be read: File contains no section headers.")
    assert said(path, "[workqueue]\nname = a\nname = b\n").startswith(f"{path} cannot be read: While reading from")


def test_an_environment_that_is_none_is_refused(home: Path) -> None:
    (home / "here/notes.txt").write_text("none", encoding="utf-8")
    said = {
        "env.tar.gz": f"environment: there is no 'env.tar.gz' in {home}/here; shadho workers pack makes one",
        ".": "environment: '.' is a folder without bin/python, and so no environment",
        "notes.txt": "environment: 'notes.txt' is no tar archive; shadho workers pack makes one, and so does conda-pack",
    }
    for value, text in said.items():
        workqueue = Settings().workqueue
        workqueue.environment = value
        with pytest.raises(OptionError) as caught:
            workqueue.engine_options("sin")
        assert str(caught.value) == text


def test_ssl_is_switched_on_in_a_file_and_its_files_go_together(home: Path) -> None:
    (home / "here/.shadhorc").write_text("[workqueue]\nssl = yes\n", encoding="utf-8")
    options = Settings.load().workqueue.engine_options("sin")
    assert options.ssl is not None
    assert [Path(file).name for file in options.ssl] == ["sin.key.pem", "sin.cert.pem"]
    assert Path(options.ssl[0]).stat().st_mode & 0o777 == 0o600
    assert Settings.load().workqueue.engine_options("sin") == options
    assert said(home / "here/.shadhorc", "[workqueue]\nssl = perhaps\n").endswith("config.workqueue.ssl takes True or False, not 'perhaps'")
    workqueue = Settings().workqueue
    workqueue.ssl_key = "key.pem"
    with pytest.raises(OptionError, match="ssl_key and ssl_cert go together"):
        workqueue.engine_options("sin")
    workqueue.ssl_cert = "cert.pem"
    with pytest.raises(OptionError, match="ssl: there is no file 'key.pem' in "):
        workqueue.engine_options("sin")
