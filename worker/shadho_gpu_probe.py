"""What GPUs this machine has, by whatever tells: NVIDIA's library, its program, the files of its driver; AMD's program.

Standard library and Python 3.8 only; NVIDIA's library (`nvidia-ml-py`) is asked where it is installed. A driver that is broken is
a warning and no GPUs. Who may use which is `shadho_gpus`'s to say.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, List, Sequence, Tuple

# Without its persistence mode the driver starts each GPU for it.
_PATIENCE_S = 60.0
_DEATH_S = 2.0
_LISTED = re.compile(r"(?:GPU (?P<index>\d+):)?\s*(?P<model>.*?)\s*(?:Device\s+\d+:\s*)?\(UUID: (?P<uuid>\S+)\)")
_QUERIES = ("uuid,memory.total,compute_cap", "uuid,memory.total")
_SLICE_GB = re.compile(r"\b\d+g\.(\d+)gb\b")
_CARD = re.compile(r"card(\d+)")
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of a divided one.

    Attributes:
        name: a value for the variable that shows it to a process: an index, or an id where it has no index.
        uuid: empty where it is not told.
        model: as its driver calls it; empty where it is not told.
        memory_mb: in MiB; 0 where it is not told.
        capability: CUDA's compute capability, as in 8.0; empty where it is not told.
        amd: whether AMD's software shows it.
        parts: what it is divided into, by MIG.
    """

    name: str
    uuid: str = ""
    model: str = ""
    memory_mb: int = 0
    capability: str = ""
    amd: bool = False
    parts: tuple[Gpu, ...] = ()


Probed = Tuple[List[Gpu], str]


def nvidia() -> Probed:
    """Return NVIDIA's GPUs in the order of their driver, and a warning, empty where all is well."""
    by_library = _by_nvml()
    if by_library:
        return by_library, ""
    program = shutil.which("nvidia-smi")
    if program is None:
        return _by_driver_files() or _by_device_files(), ""
    answer = _run(program, "-L")
    cards = _listed(answer.output)
    if not cards:
        return [], f"nvidia-smi finds no GPU to use: {answer.said}"
    # It ends with a status of its own where it lists GPUs and warns, of a damaged infoROM, say.
    return _with_memory(cards, program), ""


def _by_nvml() -> list[Gpu]:
    """Return what NVIDIA's library tells, nothing where it is not installed or does not work."""
    try:
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
    except Exception:
        return []
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        return [_of_nvml(nvml, handle, str(index)) for index, handle in enumerate(handles)]
    except Exception:
        return []
    finally:
        with suppress(Exception):
            nvml.nvmlShutdown()


def _of_nvml(nvml: Any, handle: Any, index: str) -> Gpu:
    capability = ".".join(map(str, nvml.nvmlDeviceGetCudaComputeCapability(handle)))
    uuid, model = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
    memory_mb = int(nvml.nvmlDeviceGetMemoryInfo(handle).total) // _MIB
    parts = []
    try:
        divided = nvml.nvmlDeviceGetMigMode(handle)[0]
        for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if divided else 0):
            try:
                part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
            except nvml.NVMLError:
                continue
            part_uuid, part_mb = _text(nvml.nvmlDeviceGetUUID(part)), int(nvml.nvmlDeviceGetMemoryInfo(part).total) // _MIB
            parts.append(Gpu(part_uuid, part_uuid, _text(nvml.nvmlDeviceGetName(part)), part_mb, capability))
    except nvml.NVMLError:
        # A GPU that cannot be divided.
        pass
    return Gpu(index, uuid, model, memory_mb, capability, parts=tuple(parts))


def _text(value: Any) -> str:
    """Return a text that older versions of the library give as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


@dataclass(frozen=True)
class _Answer:
    """What came of a program.

    Attributes:
        status: its exit status; None where it did not start, or did not end.
        output: what it printed.
        said: one line for a person, where it did not help.
    """

    status: int | None
    output: str
    said: str


def _run(program: str, *arguments: str) -> _Answer:
    try:
        process = subprocess.Popen(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        return _Answer(None, "", str(error.strerror))
    try:
        output, errors = (text.decode("utf-8", "replace").strip() for text in process.communicate(timeout=_PATIENCE_S))
    except subprocess.TimeoutExpired:
        _kill(process)
        return _Answer(None, "", f"it does not answer for {_PATIENCE_S:g} s")
    except BaseException:
        _kill(process)
        raise
    lines = [*output.splitlines(), *errors.splitlines(), f"it says nothing, and ended with status {process.returncode}"]
    return _Answer(process.returncode, output, lines[0])


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children; a driver that hangs may keep it from dying, and then it is not waited for."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_DEATH_S)


def _listed(text: str) -> list[Gpu]:
    """Return the GPUs of `nvidia-smi -L`, which lists the parts of each below it."""
    cards: list[Gpu] = []
    for line in text.splitlines():
        match = _LISTED.match(line.strip())
        if match is None:
            continue
        if match["index"] is not None:
            cards.append(Gpu(match["index"], match["uuid"], match["model"]))
        elif cards and match["uuid"].startswith("MIG-"):
            size = _SLICE_GB.search(match["model"])
            model, memory_mb = f"{cards[-1].model} {match['model']}", 1024 * int(size[1]) if size else 0
            part = Gpu(match["uuid"], match["uuid"], model, memory_mb)
            cards[-1] = replace(cards[-1], parts=(*cards[-1].parts, part))
    return cards


def _with_memory(cards: Sequence[Gpu], program: str) -> list[Gpu]:
    """Add what only a query tells; drivers differ in what can be queried."""
    for query in _QUERIES:
        answer = _run(program, f"--query-gpu={query}", "--format=csv,noheader,nounits")
        if answer.status is None or any(card.uuid and card.uuid in answer.output for card in cards):
            break
    rows: dict[str, list[str]] = {}
    for line in answer.output.splitlines():
        uuid, *values = (value.strip() for value in line.split(","))
        rows[uuid] = values
    return [_completed(card, rows.get(card.uuid, [])) for card in cards]


def _completed(card: Gpu, row: list[str]) -> Gpu:
    memory, capability = (*row, "", "")[:2]
    parts = tuple(replace(part, capability=capability) for part in card.parts)
    return replace(card, memory_mb=int(memory) if memory.isdecimal() else 0, capability=capability, parts=parts)


def _by_driver_files() -> list[Gpu]:
    """Return the GPUs that the kernel's module tells of and that this machine, which may be a container, has files for."""
    found: list[Gpu] = []
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in file)}
        except OSError:
            continue
        if os.path.exists(f"/dev/nvidia{fields.get('Device Minor', '')}"):
            uuid = fields.get("GPU UUID", "")
            # It is all question marks until the GPU was first used.
            found.append(Gpu(str(len(found)), "" if "?" in uuid else uuid, fields.get("Model", "")))
    return found


def _by_device_files() -> list[Gpu]:
    return [Gpu(str(index)) for index in range(len(glob.glob("/dev/nvidia[0-9]*")))]


def rocm_smi() -> str | None:
    """Return the path of AMD's program, None where it is missing."""
    return shutil.which("rocm-smi")


def amd() -> Probed:
    """Return AMD's GPUs, and a warning, empty where all is well."""
    program = rocm_smi()
    if program is None:
        return [], ""
    answer = _run(program, "--showproductname", "--showmeminfo", "vram", "--showuniqueid", "--json")
    try:
        fields = json.loads(answer.output[answer.output.find("{") :])
    except ValueError:
        return [], f"rocm-smi finds no GPU to use: {answer.said}"
    cards = sorted((int(match[1]), value) for name, value in fields.items() if (match := _CARD.fullmatch(name)))
    return [_of_rocm(str(index), {key.lower(): str(text) for key, text in value.items()}) for index, value in cards], ""


def _of_rocm(index: str, fields: dict[str, str]) -> Gpu:
    memory = fields.get("vram total memory (b)", "")
    model = fields.get("card series") or fields.get("card model") or ""
    memory_mb = int(memory) // _MIB if memory.isdecimal() else 0
    return Gpu(index, fields.get("unique id", ""), model, memory_mb, amd=True)
