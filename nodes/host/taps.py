"""Taps: what sees the input and output of a model's layers while it is called, and may change the output.

An expert adds to a layer, a recorder keeps what passes, an injector replaces it: each is an `Overrides` of some layers,
made of a bank of modules that the host loads and offloads. The way onto a MODEL stands here once: in force for the
length of a call alone, on every device of several, gone with the clone that has it. Nothing of the host is changed.
"""

import copy
from collections.abc import Callable

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP, WrappersMP
from torch import nn

from ...icedit_core.adapters.attach import Overrides


def put(clone: ModelPatcher, key: str, bank: nn.ModuleList, made: Callable[[nn.ModuleList], Overrides]) -> None:
    """Put a tap on `clone`, which must be the caller's own.

    Args:
        key: the tap's own name among all; `bank_of` finds its bank by it.
        bank: the modules it needs, none as an empty list. They live in a patcher of their own.
        made: gives the overrides of a bank. It is asked once for each device, whose copy of the bank it gets, so that
            torch.compile sees the same callables at every step.
    """

    def join(patcher: ModelPatcher) -> None:
        """Put the patcher's own bank in force; a copy on another device has a bank of its own."""
        overrides = made(bank_of(patcher, key))

        def tapped(executor, *args, **kwargs):
            with overrides.on(executor.class_obj.diffusion_model):
                return executor(*args, **kwargs)

        patcher.remove_wrappers_with_key(WrappersMP.APPLY_MODEL, key)
        patcher.add_wrapper_with_key(WrappersMP.APPLY_MODEL, key, tapped)

    clone.set_additional_models(key, [_patcher(bank, clone.load_device, clone.offload_device)])
    join(clone)
    for moment in (CallbacksMP.ON_DEEPCLONE_MULTIGPU, CallbacksMP.ON_MATCH_MULTIGPU_CLONES):
        clone.add_callback_with_key(moment, key, lambda _original, copied: join(copied))


def bank_of(patcher: ModelPatcher, key: str) -> nn.ModuleList:
    """The modules of the tap `key` on this patcher's device."""
    return patcher.get_additional_models_with_key(key)[0].model


def _patcher(bank: nn.ModuleList, load_device, offload_device) -> ModelPatcher:
    """A patcher of the bank that the host can copy for another device, as it does with the model itself."""
    patcher = ModelPatcher(bank, load_device, offload_device)
    patcher.cached_patcher_init = (_copied, (bank, load_device, offload_device))
    return patcher


def _copied(bank: nn.ModuleList, load_device, offload_device, disable_dynamic=False) -> ModelPatcher:
    return _patcher(copy.deepcopy(bank).to(offload_device), load_device, offload_device)
