"""The GPUs that a process may use, and how a worker shares them out: what each trial is shown, and what the driver can ask for.

Standard library and Python 3.8 only. Nothing of CUDA or torch is loaded; what this machine has is `shadho_gpu_probe`'s to find.
"""

from __future__ import annotations

import re
from typing import Mapping, Sequence

import shadho_gpu_probe
from shadho_gpu_probe import Gpu

CUDA = "CUDA_VISIBLE_DEVICES"
ROCR = "ROCR_VISIBLE_DEVICES"
HIP = "HIP_VISIBLE_DEVICES"
NO_GPU = "gpu_model=none"
TABLE = "SHADHO_GPUS"
VARIABLE = "SHADHO_GPU_VARIABLE"
REFUSED = "SHADHO_REFUSED"

_INDEX = re.compile(r"\d+")
_NAMED = re.compile(r"(GPU|MIG)-\S+")
_BATCH_LISTS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS", "SGE_GPU")
_SGE_GRANT = re.compile(r"SGE_HGR_\w*gpu\w*", re.IGNORECASE)
_MIB_PER_GIB = 1024

# Work Queue numbers the GPUs that a worker offers, and tells a task its numbers in CUDA's variable, whatever the machine's own list
# was. Neighbouring numbers are different GPUs, so that jobs spread before they share.
LAUNCHER = f"""\
if [ -n "${{{TABLE}-}}" ] && [ -n "${{{CUDA}-}}" ]; then
  shadho_ifs=$IFS
  IFS=,
  set -f
  set -- ${TABLE}
  shadho_mine=
  for shadho_slot in ${CUDA}; do
    shadho_at=$((shadho_slot % $#))
    shadho_left=$#
    while eval "shadho_gpu=\\${{$((shadho_at + 1))}}" && [ $shadho_left -gt 0 ]; do
      case ",$shadho_mine," in *",$shadho_gpu,"*) ;; *) break ;; esac
      shadho_at=$(((shadho_at + 1) % $#))
      shadho_left=$((shadho_left - 1))
    done
    if [ $shadho_left -eq 0 ]; then
      export {REFUSED}="this trial asks for more GPUs than its worker has, which is $#: see --jobs-per-gpu of wq_worker"
      break
    fi
    shadho_mine=$shadho_mine${{shadho_mine:+,}}$shadho_gpu
  done
  set --
  set +f
  IFS=$shadho_ifs
  unset {CUDA} {HIP} {ROCR} {TABLE}
  export "${VARIABLE}=$shadho_mine"
  shadho_moved=1
fi
"""
"""For a POSIX shell that a worker has started: shows it the GPUs that it was given, and sets `shadho_moved` if it did. Without a
worker's table it changes nothing."""


def find(environment: Mapping[str, str]) -> tuple[list[Gpu], str]:
    """Return the GPUs that a process with this environment may use, and a warning, empty where all is well.

    `CUDA_VISIBLE_DEVICES` decides where it is set, its indices, UUIDs and MIG ids as they are, and `ROCR_VISIBLE_DEVICES` and
    `HIP_VISIBLE_DEVICES` where AMD's are; empty or -1 means none. Else a batch system's own list decides, else all are there: of a
    GPU that is divided, its parts in its place.
    """
    cards, warning = shadho_gpu_probe.nvidia()
    if not cards and (environment.keys() & {ROCR, HIP} or shadho_gpu_probe.rocm_smi()):
        amds, amd_warning = shadho_gpu_probe.amd()
        if amds or not warning:
            return _amd_seen(amds, environment), amd_warning
    if warning:
        return [], warning
    listed = environment.get(CUDA)
    if listed is not None:
        return _listed(names_in(listed), cards)
    granted = _granted(environment)
    if granted and not cards:
        return [Gpu(name) for name in granted], ""
    if 0 < len(granted) < len(cards):
        # A machine that shows a job its own GPUs only numbers those from 0, and the list holds the numbers of the whole machine.
        cards = [card for card in cards if card.name in granted]
    return [part for card in cards for part in card.parts or (card,)], ""


def names(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the GPUs that a process with this environment may use, each as a value for `CUDA_VISIBLE_DEVICES`."""
    if environment.get(CUDA) is not None:
        return names_in(environment[CUDA])
    return tuple(gpu.name for gpu in find(environment)[0])


def names_in(text: str) -> tuple[str, ...]:
    """Return what CUDA makes of its variable: it reads up to the first thing that is no device."""
    found: list[str] = []
    for item in text.split(","):
        name = item.strip()
        if not (_INDEX.fullmatch(name) or _NAMED.fullmatch(name)):
            break
        found.append(name)
    return tuple(dict.fromkeys(found))


def _listed(wanted: Sequence[str], cards: Sequence[Gpu]) -> tuple[list[Gpu], str]:
    """Return the GPUs that the variable names, and a warning where the machine lacks one: CUDA shows none from there on."""
    for place, name in enumerate(wanted):
        if cards and not _is_there(name, cards):
            there = ", ".join(gpu.uuid or gpu.name for card in cards for gpu in (card, *card.parts))
            return [_known(each, cards) for each in wanted[:place]], f"{CUDA} names {name}, and CUDA reads no further: there is {there}"
    return [_known(name, cards) for name in wanted], ""


def _is_there(name: str, cards: Sequence[Gpu]) -> bool:
    """Return whether one of these is meant, as far as can be told: where some are divided, CUDA numbers them in its own way."""
    divided = any(card.parts for card in cards)
    if name.isdecimal():
        return divided or int(name) < len(cards)
    # Older drivers named a part by its card and two numbers, and not everything that lists the cards lists their parts.
    if name.startswith("MIG-GPU-" if divided else "MIG-"):
        return True
    return any(gpu.uuid.startswith(name) or not gpu.uuid for card in cards for gpu in (card, *card.parts))


def _known(name: str, cards: Sequence[Gpu]) -> Gpu:
    """Return the GPU that an item of the variable names, as it names it: a number of CUDA's need not be the driver's."""
    for gpu in (*cards, *(part for card in cards for part in card.parts)):
        if name == gpu.name or (_NAMED.fullmatch(name) and gpu.uuid.startswith(name)):
            return Gpu(name, model=gpu.model, memory_mb=gpu.memory_mb, capability=gpu.capability)
    return Gpu(name)


def _amd_seen(cards: list[Gpu], environment: Mapping[str, str]) -> list[Gpu]:
    """Return AMD's GPUs, of which HIP's variable numbers those that the lower layer's shows."""
    rocr, cuda = environment.get(ROCR), environment.get(CUDA)
    # Slurm, where it does not know whose GPUs it has, gives the same numbers of the whole machine in CUDA's variable as in this one.
    hip = environment.get(HIP, None if cuda == rocr else cuda)
    seen = cards if rocr is None else [_known(name, cards) for name in names_in(rocr)]
    if hip is None:
        return seen
    if not seen and rocr is None:
        return [Gpu(name) for name in names_in(hip)]
    return [seen[int(name)] for name in names_in(hip) if name.isdecimal() and int(name) < len(seen)]


def _granted(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the numbers of the GPUs that a batch system has given to its job."""
    lists = [environment[name] for name in _BATCH_LISTS if environment.get(name)]
    lists += [value for name, value in sorted(environment.items()) if _SGE_GRANT.fullmatch(name)]
    found: list[str] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", lists[0] if lists else ""):
        found += map(str, range(int(first), int(last or first) + 1))
    return tuple(dict.fromkeys(found))


def worker_environment(gpus: Sequence[Gpu], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for `work_queue_worker`: its tasks see no GPU, but those that Work Queue gives some, see `LAUNCHER`.

    Where nobody has numbered the GPUs, they are told by their UUIDs, as CUDA may number them in another order than their driver.
    """
    amd = any(gpu.amd for gpu in gpus)
    numbered = amd or environment.get(CUDA) is not None
    hidden = {CUDA: "", HIP: "-1", ROCR: ""} if amd else {CUDA: ""}
    others = {name: value for name, value in environment.items() if name not in {CUDA, HIP, ROCR, "GPU_DEVICE_ORDINAL", TABLE}}
    table = ",".join(gpu.name if numbered else gpu.uuid or gpu.name for gpu in gpus)
    return {**others, **hidden, TABLE: table, VARIABLE: ROCR if amd else CUDA}


def shown(names: Sequence[str], *, amd: bool) -> dict[str, str]:
    """Return the environment that shows a process these GPUs alone; HIP numbers those that the layer below it shows."""
    return {ROCR: ",".join(names), HIP: ",".join(map(str, range(len(names))))} if amd else {CUDA: ",".join(names)}


def described(gpus: Sequence[Gpu]) -> str:
    """Return GPUs as a person is told of them."""
    kinds = [(gpu.model, f" with {gpu.memory_mb:,} MB" if gpu.memory_mb else "") for gpu in gpus]
    counted = [(kinds.count(kind), *kind) for kind in dict.fromkeys(kinds)]
    return ", ".join(f"{count} {model or ('GPU' if count == 1 else 'GPUs')}{memory}" for count, model, memory in counted)


def features(gpus: Sequence[Gpu]) -> tuple[list[str], str]:
    """Return what a worker with these GPUs advertises, and a warning, empty where all is well.

    Every run of words in the model's name, so that A100 is found in NVIDIA A100-SXM4-80GB, and every GiB up to the least memory: a
    request matches a feature or does not.
    """
    if not gpus:
        return [], ""
    advertised = [f"gpu_memory={gib}" for gib in range(1, min(gpu.memory_mb for gpu in gpus) // _MIB_PER_GIB + 1)]
    models = sorted({gpu.model for gpu in gpus})
    if len(models) > 1:
        hint = "no model is advertised; start one wq_worker for each, with CUDA_VISIBLE_DEVICES"
        return advertised, f"there are GPUs of different models ({', '.join(models)}): {hint}"
    words = _plain(models[0]).split("-") if models[0] else []
    runs = ["-".join(words[first:last]) for first in range(len(words)) for last in range(first + 1, len(words) + 1)]
    return [*(f"gpu_model={run}" for run in dict.fromkeys(runs)), *advertised], ""


def kind(advertised: Sequence[str]) -> list[str]:
    """Return the features that tell a worker's kind, of those that `features` gives: the whole model and all of the memory, or none."""
    models = [feature for feature in advertised if feature.startswith("gpu_model=")]
    memory = [feature for feature in advertised if feature.startswith("gpu_memory=")]
    return [*([max(models, key=len)] if models else []), *memory[-1:]] or [NO_GPU]


def wanted(model: str | None, memory_mb: int | None) -> list[str]:
    """Return the features that a trial asks for: a model, and at least so much memory, which counts in whole GiB."""
    asked = [] if model is None else [f"gpu_model={_plain(model)}"]
    return asked if not memory_mb else [*asked, f"gpu_memory={-(-memory_mb // _MIB_PER_GIB)}"]


def _plain(text: str) -> str:
    """Return a name in the alphabet that is safe in every place where a feature is written."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")
