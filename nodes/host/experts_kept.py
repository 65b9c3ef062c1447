"""Experts are not weights of the model: what would save or merge the weights alone is refused, not done without them.

The host has no hook for either. So a MODEL of ours answers for itself where the host asks a patcher for the weights
to save, or for those to merge into another model. Nothing of the host's classes is changed.
"""

import weakref
from collections.abc import Callable, Sequence

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

KEY = "icedit_experts_kept"


def keep(model: ModelPatcher, names: Callable[[ModelPatcher], Sequence[str]], who: str) -> None:
    """Let `model`, which must be the caller's own clone, and all its clones refuse to lose its experts.

    Args:
        names: gives the adapters with experts that a patcher has.
        who: the node that speaks.
    """
    own = weakref.ref(model)  # a reference would be a cycle, and the host frees models by their last reference

    def refuse(done: str, remedy: str) -> None:
        raise ValueError(
            f"{who}: {', '.join(names(_alive(own)))} has experts, which a router picks for each token, but {done} "
            f"takes weights alone and would lose them. {remedy}"
        )

    def state_dict_for_saving(*_args, **_options):
        refuse("saving", f"Save the model as it is before {who}; the adapter is a file of its own.")

    def get_key_patches(filter_prefix=None):
        if filter_prefix is not None:  # without it the host asks for its own weights, for hooks
            refuse("merging", f"Merge the models first, and put {who} behind the merge.")
        patcher = _alive(own)
        return type(patcher).get_key_patches(patcher)

    model.state_dict_for_saving = state_dict_for_saving
    model.get_key_patches = get_key_patches
    model.remove_callbacks_with_key(CallbacksMP.ON_CLONE, KEY)
    model.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, lambda _original, copied: keep(copied, names, who))


def _alive(own: Callable[[], ModelPatcher | None]) -> ModelPatcher:
    patcher = own()
    assert patcher is not None, "the function lives in the patcher"
    return patcher
