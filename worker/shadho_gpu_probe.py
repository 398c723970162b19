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
import subprocess
from dataclasses import dataclass, replace
from typing import Any, List, Sequence, Tuple

_PATIENCE_S = 30.0
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
    done, said = _run(program, "-L")
    if not done:
        return [], f"nvidia-smi finds no GPU to use: {said or 'it says nothing'}"
    return _with_memory(_listed(said), program), ""


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


def _run(program: str, *arguments: str) -> tuple[bool, str]:
    """Return whether a program ended well, and what it printed, or else the first line of what it said."""
    try:
        done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return False, f"it does not answer for {_PATIENCE_S:g} s"
    except OSError as error:
        return False, str(error.strerror)
    output, errors = (text.decode("utf-8", "replace").strip() for text in (done.stdout, done.stderr))
    return (True, output) if done.returncode == 0 else (False, next(iter((output or errors).splitlines()), ""))


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
        done, said = _run(program, f"--query-gpu={query}", "--format=csv,noheader,nounits")
        if done:
            break
    rows: dict[str, list[str]] = {}
    for line in said.splitlines() if done else ():
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
            found.append(Gpu(str(len(found)), fields.get("GPU UUID", ""), fields.get("Model", "")))
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
    done, said = _run(program, "--showproductname", "--showmeminfo", "vram", "--showuniqueid", "--json")
    try:
        fields = json.loads(said[said.find("{") :]) if done else {}
    except ValueError:
        done, fields = False, {}
    if not done:
        return [], f"rocm-smi finds no GPU to use: {said.splitlines()[0] if said else 'it says nothing'}"
    cards = sorted((int(match[1]), value) for name, value in fields.items() if (match := _CARD.fullmatch(name)))
    return [_of_rocm(str(index), {key.lower(): str(text) for key, text in value.items()}) for index, value in cards], ""


def _of_rocm(index: str, fields: dict[str, str]) -> Gpu:
    memory = fields.get("vram total memory (b)", "")
    model = fields.get("card series") or fields.get("card model") or ""
    memory_mb = int(memory) // _MIB if memory.isdecimal() else 0
    return Gpu(index, fields.get("unique id", ""), model, memory_mb, amd=True)
