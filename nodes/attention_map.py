"""ICEditAttentionMap: where words of the prompt look, as a picture and as a mask."""

from comfy_api.latest import io, ui

from ..icedit_core import attention_map as core
from .host import attention_map
from .host.report import say
from .host.schema import seed_input

PIXELS = 16  # along a token


class ICEditAttentionMap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditAttentionMap",
            display_name="ICEdit Attention Map",
            category="ICEdit/look",
            description="Show where chosen words of the prompt look in the picture, in one model call of its own, as a "
            "picture and as a mask that can limit an edit. The model is left as it is.",
            search_aliases=["cross attention", "heatmap", "words", "mask from words"],
            inputs=[*_sockets(), *_settings()],
            outputs=[
                io.Mask.Output(tooltip="The attention, 1 where it is highest, at the image's size."),
                io.Image.Output(display_name="picture", tooltip="The same in colours, over the image if there is one."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        model,
        positive,
        latent,
        clip,
        prompt,
        words,
        sigma,
        first_block,
        last_block,
        threshold,
        seed,
        image=None,
    ) -> io.NodeOutput:
        blocks = range(first_block, last_block + 1)
        maps = attention_map.look(model, positive, latent, clip, prompt, words, sigma, seed, blocks)
        height, width = image.shape[1:3] if image is not None else (PIXELS * side for side in maps.shape[-2:])
        mask = core.mask(maps, height, width, threshold)
        picture = core.picture(mask, image)
        shown = say(cls, core.report(words, maps)).as_dict() | ui.PreviewImage(picture).as_dict()
        return io.NodeOutput(mask, picture, ui=shown)


def _sockets() -> list:
    return [
        io.Model.Input("model", tooltip="A FLUX model, as for a KSampler."),
        io.Conditioning.Input("positive", tooltip="As for a KSampler."),
        io.Latent.Input(
            "latent", tooltip="What is noised to sigma: a KSampler's result shows where the words ended up."
        ),
        io.Clip.Input("clip", tooltip="The text encoders that encoded the prompt."),
        io.Image.Input("image", optional=True, tooltip="Shines through the map in grey, and says the mask's size."),
    ]


def _settings() -> list:
    return [
        io.String.Input(
            "prompt",
            multiline=True,
            dynamic_prompts=False,
            tooltip="The whole text of positive, as it was encoded; ICEdit Prompt gives it as ic_prompt.",
        ),
        io.String.Input("words", dynamic_prompts=False, tooltip="A part of the prompt, copied from it: whole words."),
        io.Float.Input(
            "sigma",
            default=0.3,
            min=0.01,
            max=1.0,
            step=0.01,
            tooltip="Noise level at which the model is asked: 1 is the first step of a sampling, towards 0 its last.",
        ),
        io.Int.Input(
            "first_block", default=0, min=0, max=999, tooltip="FLUX's blocks count from 0, the double ones first."
        ),
        io.Int.Input("last_block", default=999, min=0, max=999, tooltip="The last block that counts."),
        io.Float.Input(
            "threshold",
            default=0.0,
            min=0.0,
            max=1.0,
            step=0.01,
            tooltip="Share of the highest value from which the mask is 1, and 0 below. 0: the mask keeps all values.",
        ),
        seed_input("Of the noise; a KSampler with this seed begins with the same.", advanced=True),
    ]


NODES = [ICEditAttentionMap]
