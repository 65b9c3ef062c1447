"""A pack for the tests, loaded after ours. Like several published packs, it binds KSampler's lists anew instead of
appending to them, and has a selector whose outputs have the lists themselves as their types."""

import comfy.k_diffusion.sampling as sampling
import comfy.samplers as samplers


def sample_late_euler(model, x, sigmas, extra_args=None, callback=None, disable=None, **options):
    return sampling.sample_euler(model, x, sigmas, extra_args=extra_args, callback=callback, disable=disable)


sampling.sample_late_euler = sample_late_euler
samplers.SCHEDULER_HANDLERS["late_simple"] = samplers.SchedulerHandler(samplers.simple_scheduler)
samplers.KSampler.SAMPLERS = [*samplers.KSampler.SAMPLERS, "late_euler"]
samplers.KSampler.SCHEDULERS = [*samplers.KSampler.SCHEDULERS, "late_simple"]


class LateSelect:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"sampler": (samplers.KSampler.SAMPLERS,), "scheduler": (samplers.KSampler.SCHEDULERS,)}}

    RETURN_TYPES = (samplers.KSampler.SAMPLERS, samplers.KSampler.SCHEDULERS)
    FUNCTION = "select"
    CATEGORY = "tests"

    def select(self, sampler, scheduler):
        return sampler, scheduler


NODE_CLASS_MAPPINGS = {"LateSelect": LateSelect}
