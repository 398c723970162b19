"""A worker finds its GPUs without CUDA or torch, offers them by names that last, and shows each trial those that it was given."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import shadho_gpus
from e2e.processes import until
from shadho_gpu_probe import Gpu

A100 = "NVIDIA A100-SXM4-80GB"
SMI = f"""#!/bin/sh
case "$1" in
-L) cat <<'E'
GPU 0: {A100} (UUID: GPU-aa)
GPU 1: {A100} (UUID: GPU-bb)
  MIG 3g.40gb     Device  0: (UUID: MIG-b1)
  MIG 1g.10gb     Device  1: (UUID: MIG-b2)
GPU 2: {A100} (UUID: GPU-cc)
E
;;
*compute_cap*) echo 'Field "compute_cap" is not a valid field to query.' >&2; exit 2 ;;
*) printf 'GPU-cc, 81920\\nGPU-aa, 81559\\nGPU-bb, [N/A]\\n' ;;
esac
"""
ROCM = """#!/bin/sh
cat <<'E'
WARNING: a line before
{"card1": {"VRAM Total Memory (B)": "68702699520", "Card series": "AMD Instinct MI250X", "Unique ID": "0x2"},
 "card0": {"VRAM Total Memory (B)": "68702699520", "Card series": "AMD Instinct MI250X", "Unique ID": "0x1"},
 "system": {"Driver version": "6.1"}}
E
"""
NVML = """
class NVMLError(Exception):
    pass


def nvmlInit():
    pass


nvmlShutdown = nvmlInit
Memory = type("Memory", (), {})


def nvmlDeviceGetCount():
    return 2


def nvmlDeviceGetHandleByIndex(index):
    return index


def nvmlDeviceGetUUID(handle):
    return f"GPU-{handle}".encode() if isinstance(handle, int) else f"MIG-{handle}"


def nvmlDeviceGetName(handle):
    return "NVIDIA H100 PCIe" if isinstance(handle, int) else f"NVIDIA H100 PCIe MIG {handle}"


def nvmlDeviceGetMemoryInfo(handle):
    memory = Memory()
    memory.total = (80 if isinstance(handle, int) else 10) * 1024**3
    return memory


def nvmlDeviceGetCudaComputeCapability(handle):
    return 9, 0


def nvmlDeviceGetMigMode(handle):
    if handle == 0:
        raise NVMLError
    return 1, 1


def nvmlDeviceGetMaxMigDeviceCount(handle):
    return 3


def nvmlDeviceGetMigDeviceHandleByIndex(handle, number):
    if number == 1:
        raise NVMLError
    return f"slice{number}"
"""
SLEEP = shutil.which("sleep")
NAMES = {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "SHADHO_REFUSED"}
Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put programs on a PATH that has no driver's, and hide the library and this machine's own GPUs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    folder.joinpath("cat").symlink_to(str(shutil.which("cat")))
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr("shadho_gpu_probe.glob.glob", lambda _: [])

    def put(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)

    return put


def found(environment: dict[str, str]) -> list[str]:
    gpus, warning = shadho_gpus.find(environment)
    assert warning == ""
    return [gpu.name for gpu in gpus]


def test_what_nvidia_smi_tells(install: Install) -> None:
    install("nvidia-smi", SMI)
    gpus, warning = shadho_gpus.find({})
    assert warning == ""
    assert gpus == [
        Gpu("0", "GPU-aa", A100, 81559),
        Gpu("MIG-b1", "MIG-b1", f"{A100} MIG 3g.40gb", 40 * 1024),
        Gpu("MIG-b2", "MIG-b2", f"{A100} MIG 1g.10gb", 10 * 1024),
        Gpu("2", "GPU-cc", A100, 81920),
    ]


def test_what_nvidias_library_tells(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pynvml.py").write_text(NVML, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "pynvml")
    monkeypatch.syspath_prepend(tmp_path)
    gpus, _ = shadho_gpus.find({})
    monkeypatch.delitem(sys.modules, "pynvml")
    assert gpus == [
        Gpu("0", "GPU-0", "NVIDIA H100 PCIe", 81920, "9.0"),
        Gpu("MIG-slice0", "MIG-slice0", "NVIDIA H100 PCIe MIG slice0", 10240, "9.0"),
        Gpu("MIG-slice2", "MIG-slice2", "NVIDIA H100 PCIe MIG slice2", 10240, "9.0"),
    ]


def test_what_rocm_smi_tells(install: Install) -> None:
    install("rocm-smi", ROCM)
    gpus, _ = shadho_gpus.find({})
    assert gpus == [Gpu(str(number), f"0x{number + 1}", "AMD Instinct MI250X", 65520, amd=True) for number in range(2)]
    assert found({"ROCR_VISIBLE_DEVICES": "1"}) == ["1"]
    assert found({"ROCR_VISIBLE_DEVICES": "1,0", "HIP_VISIBLE_DEVICES": "1"}) == ["0"]
    assert found({"HIP_VISIBLE_DEVICES": ""}) == []
    assert found({"HIP_VISIBLE_DEVICES": "-1"}) == []


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, ["2", "0"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-cc, MIG-b2"}, ["GPU-cc", "MIG-b2"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "-1"}, []),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"SLURM_JOB_GPUS": "0,2"}, ["0", "2"]),
        ({"SLURM_JOB_GPUS": "0-2", "SLURM_STEP_GPUS": "2"}, ["2"]),
        ({"SLURM_JOB_GPUS": "5,6,7"}, ["0", "MIG-b1", "MIG-b2", "2"]),
        ({"SGE_HGR_gpu_card": "0 2"}, ["0", "2"]),
        ({"SGE_HGR_gpu": "gpu2"}, ["2"]),
    ],
)
def test_lists_of_the_environment_decide(install: Install, environment: dict[str, str], names: list[str]) -> None:
    install("nvidia-smi", SMI)
    assert found(environment) == names
    memory = {gpu.name: gpu.memory_mb for gpu in shadho_gpus.find(environment)[0]}
    known = {"2": 81920, "0": 81559, "GPU-cc": 81920, "MIG-b2": 10240, "MIG-b1": 40960}
    assert memory == {name: known[name] for name in names}


def test_a_list_is_believed_where_nothing_tells_more(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadho_gpu_probe.nvidia", lambda: ([], ""))
    assert found({"CUDA_VISIBLE_DEVICES": "3,GPU-9"}) == ["3", "GPU-9"]
    assert found({"SLURM_JOB_GPUS": "1,3"}) == ["1", "3"]
    # As Slurm sets them where it does not know whose they are.
    assert found({"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "1", "SLURM_JOB_GPUS": "1"}) == ["1"]
    assert found({}) == []


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": "0"}])
def test_a_broken_driver_is_a_warning_and_no_gpu(install: Install, environment: dict[str, str]) -> None:
    install("nvidia-smi", "#!/bin/sh\necho 'Failed to initialize NVML: Driver/library version mismatch'; exit 18\n")
    warning = "nvidia-smi finds no GPU to use: Failed to initialize NVML: Driver/library version mismatch"
    assert shadho_gpus.find(environment) == ([], warning)
    install("nvidia-smi", "#!/no/such/shell\n")
    assert shadho_gpus.find(environment)[1].startswith("nvidia-smi finds no GPU to use: ")


@pytest.mark.parametrize("status", [0, 9, 255])
def test_an_error_is_told_whatever_the_status(install: Install, status: int) -> None:
    install("nvidia-smi", f"#!/bin/sh\necho 'NVIDIA-SMI has failed: no driver.'; exit {status}\n")
    assert shadho_gpus.find({}) == ([], "nvidia-smi finds no GPU to use: NVIDIA-SMI has failed: no driver.")
    install("nvidia-smi", f"#!/bin/sh\nexit {status}\n")
    assert shadho_gpus.find({}) == ([], f"nvidia-smi finds no GPU to use: it says nothing, and ended with status {status}")


def test_gpus_that_are_listed_beside_a_warning_are_there(install: Install) -> None:
    install("nvidia-smi", SMI.replace("esac\n", "esac\necho 'WARNING: infoROM is corrupted at gpu 0000:01:00.0' >&2\nexit 14\n"))
    assert [(gpu.name, gpu.memory_mb) for gpu in shadho_gpus.find({})[0]][::3] == [("0", 81559), ("2", 81920)]


def test_a_driver_that_hangs_is_left_alone_with_all_its_processes(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadho_gpu_probe._PATIENCE_S", 0.5)
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    install("nvidia-smi", f"#!/bin/sh\n{SLEEP} 300 3<>{fifo}\n")
    assert shadho_gpus.find({}) == ([], "nvidia-smi finds no GPU to use: it does not answer for 0.5 s")

    def is_held() -> bool:
        try:
            os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    until(lambda: not is_held(), "the end of all that the program started")


def test_amds_gpus_are_found_beside_a_program_that_finds_none(install: Install) -> None:
    install("nvidia-smi", "#!/bin/sh\necho 'No devices were found'; exit 6\n")
    install("rocm-smi", ROCM)
    assert found({}) == ["0", "1"]


@pytest.mark.parametrize(
    ("listed", "names", "missing"),
    [("0,7", ["0"], "7"), ("7,0", [], "7"), ("GPU-a", ["GPU-a"], None), ("1,GPU-zz,0", ["1"], "GPU-zz"), ("MIG-zz", ["MIG-zz"], None)],
)
def test_a_list_ends_at_the_first_gpu_that_is_not_there(install: Install, listed: str, names: list[str], missing: str | None) -> None:
    install("nvidia-smi", f"#!/bin/sh\ncat <<'E'\nGPU 0: {A100} (UUID: GPU-aa)\nGPU 1: {A100} (UUID: GPU-bb)\nE\n")
    gpus, warning = shadho_gpus.find({"CUDA_VISIBLE_DEVICES": listed})
    assert [gpu.name for gpu in gpus] == names
    expected = f"CUDA_VISIBLE_DEVICES names {missing}, and CUDA reads no further: there is GPU-aa, GPU-bb" if missing else ""
    assert warning == expected


def test_a_driver_that_has_not_read_its_uuids_yet_numbers_its_gpus(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "information"
    file.write_text("Model: \t NVIDIA H200\nGPU UUID: \t GPU-????????-????-????-????-????????????\nDevice Minor: \t 0\n", encoding="utf-8")
    monkeypatch.setattr("shadho_gpu_probe.glob.glob", lambda _: [str(file)])
    monkeypatch.setattr("shadho_gpu_probe.os.path.exists", lambda _: True)
    gpus, _ = shadho_gpus.find({})
    assert gpus == [Gpu("0", "", "NVIDIA H200")]
    assert shadho_gpus.worker_environment(gpus, {})["SHADHO_GPUS"] == "0"


def test_a_broken_rocm_is_a_warning_too(install: Install) -> None:
    install("rocm-smi", "#!/bin/sh\necho 'no json'\n")
    assert shadho_gpus.find({}) == ([], "rocm-smi finds no GPU to use: no json")


def test_models_and_memory_are_features_that_can_be_asked_for() -> None:
    gpu = Gpu("0", "GPU-aa", A100, 3 * 1024 + 1)
    advertised, warning = shadho_gpus.features([gpu, gpu])
    assert warning == ""
    assert set(shadho_gpus.wanted("A100", 3 * 1024)) <= set(advertised)
    assert set(shadho_gpus.wanted("nvidia a100-SXM4", None)) <= set(advertised)
    assert set(shadho_gpus.wanted(A100, 2500)) <= set(advertised)
    assert not set(shadho_gpus.wanted("A10", None)) <= set(advertised)
    assert not set(shadho_gpus.wanted(None, 3 * 1024 + 1)) <= set(advertised)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-_=") for name in advertised)


def test_a_machine_with_unlike_gpus_promises_what_all_of_them_have() -> None:
    advertised, warning = shadho_gpus.features([Gpu("0", model="T4", memory_mb=15360), Gpu("1", model="A100", memory_mb=81920)])
    assert advertised == [f"gpu_memory={gib}" for gib in range(1, 16)]
    assert warning.startswith("there are GPUs of different models (A100, T4): no model is advertised")


SHELLS = [shell for shell in (["sh"], ["dash"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(shell[0])]


def launched(shell: list[str], environment: dict[str, str]) -> dict[str, str]:
    """Return what a trial sees, of what a worker's environment tells its shell."""
    text = f'set -u\n{shadho_gpus.LAUNCHER}[ $# = 0 ] && set -- a b && [ "$*" = "a b" ] && env'
    done = subprocess.run(
        [*shell, "-c", text], env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return {name: seen[name] for name in sorted(seen) if name in NAMES}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
class TestLauncher:
    GPUS = (Gpu("0", "GPU-aa"), Gpu("1", "GPU-bb"), Gpu("2", "GPU-cc"))

    def worker(self, slots: str | None = None) -> dict[str, str]:
        """Return the environment of a task to which Work Queue gave these slots."""
        return {**shadho_gpus.worker_environment(self.GPUS, {}), **({} if slots is None else {"CUDA_VISIBLE_DEVICES": slots})}

    def test_a_trial_that_asks_for_none_sees_none(self, shell: list[str]) -> None:
        assert launched(shell, self.worker()) == {"CUDA_VISIBLE_DEVICES": ""}

    def test_slots_are_devices_by_their_uuids_and_spread_before_they_share(self, shell: list[str]) -> None:
        seen = [launched(shell, self.worker(str(slot)))["CUDA_VISIBLE_DEVICES"] for slot in range(6)]
        assert seen == ["GPU-aa", "GPU-bb", "GPU-cc"] * 2

    def test_numbers_of_the_environment_are_kept(self, shell: list[str]) -> None:
        environment = shadho_gpus.worker_environment([Gpu("5", "GPU-x"), Gpu("7", "GPU-y")], {"CUDA_VISIBLE_DEVICES": "5,7"})
        assert launched(shell, {**environment, "CUDA_VISIBLE_DEVICES": "1"}) == {"CUDA_VISIBLE_DEVICES": "7"}

    @pytest.mark.parametrize(("slots", "seen"), [("0,1", "GPU-aa,GPU-bb"), ("2,5", "GPU-cc,GPU-aa"), ("0,3,6", "GPU-aa,GPU-bb,GPU-cc")])
    def test_two_gpus_are_two_different_ones(self, shell: list[str], slots: str, seen: str) -> None:
        assert launched(shell, self.worker(slots)) == {"CUDA_VISIBLE_DEVICES": seen}

    def test_more_different_ones_than_there_are_is_refused(self, shell: list[str]) -> None:
        refused = launched(shell, self.worker("0,1,2,3"))["SHADHO_REFUSED"]
        assert refused == "this trial asks for more GPUs than its worker has, which is 3: see --jobs-per-gpu of wq_worker"

    def test_a_worker_without_a_table_is_left_alone(self, shell: list[str]) -> None:
        assert launched(shell, {"CUDA_VISIBLE_DEVICES": "0,4"}) == {"CUDA_VISIBLE_DEVICES": "0,4"}
        assert launched(shell, {}) == {}

    def test_amds_are_shown_by_the_lower_layers_variable_alone(self, shell: list[str]) -> None:
        hidden = shadho_gpus.worker_environment([Gpu("0", amd=True), Gpu("1", amd=True)], {"HIP_VISIBLE_DEVICES": "0,1"})
        assert launched(shell, hidden) == {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": "-1", "ROCR_VISIBLE_DEVICES": ""}
        assert launched(shell, {**hidden, "CUDA_VISIBLE_DEVICES": "1"}) == {"ROCR_VISIBLE_DEVICES": "1"}
