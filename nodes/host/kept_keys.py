"""Kept keys and values as memory that the host counts: a patcher of their own, empty but while something is sampled."""

import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ...icedit_core.only_changes.kept import KeysValues


class Holder(nn.Module):
    """What a patcher wants a model to be. expected: bytes that a sampling will keep, set before the host loads it."""

    def __init__(self):
        super().__init__()
        self.keys_values = KeysValues()
        self.expected = 0
        self.reserved: Tensor | None = None

    def begin(self) -> None:
        """Give the reserved memory to what will be kept."""
        self.reserved = None
        self.keys_values.clear()

    def end(self) -> None:
        self.begin()
        self.expected = 0


class KeptPatcher(ModelPatcher):
    """Asks the host for room as a model does. The host then unloads others, or parts of the model that is sampled.

    A patcher whose device is the CPU takes none of the model's device: keys and values wait in the CPU's memory.
    """

    model: Holder

    def model_size(self) -> int:
        return self.model.expected

    def loaded_size(self) -> int:
        reserved = self.model.reserved
        return self.model.keys_values.bytes + (0 if reserved is None else reserved.nbytes)

    def partially_load(self, device_to, extra_memory=0, force_patch_weights=False) -> int:
        self.model.device = device_to
        missing = self.model.expected - self.loaded_size()
        if missing > 0 and torch.device(device_to).type != "cpu":
            self.model.reserved = torch.empty(missing, dtype=torch.uint8, device=device_to)
        return max(missing, 0)

    def partially_unload(self, device_to, memory_to_free=0, force_patch_weights=False) -> int:
        return 0

    def detach(self, unpatch_all=True):
        """The host needs the room: what was kept is gone, and the next step is a full one."""
        self.model.begin()
        self.model.device = self.offload_device
        return self.model


def patcher(load_device: torch.device, offload_device: torch.device, in_cpu_memory: bool) -> KeptPatcher:
    device = torch.device("cpu") if in_cpu_memory else load_device
    holder = Holder()
    holder.keys_values.device = device
    return KeptPatcher(holder, device, offload_device)
