"""ICEditX2Size: a picture at the size that X2Edit was trained at."""

from comfy_api.latest import io

from ..icedit_core.x2edit import sizes


class ICEditX2Size(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ICEditX2Size",
            display_name="ICEdit X2 Size",
            category="ICEdit/edit",
            description="Stretch a picture to the nearest of X2Edit's 13 sizes of about one megapixel, as its own "
            "script does. ICEdit Keep Unedited brings the edit back to the picture's own size.",
            search_aliases=["x2edit", "bucket", "resize"],
            inputs=[io.Image.Input("image", tooltip="The picture to edit, of any size.")],
            outputs=[io.Image.Output(tooltip="The picture at the size of nearest aspect, for VAE Encode.")],
        )

    @classmethod
    def execute(cls, image) -> io.NodeOutput:
        return io.NodeOutput(sizes.stretched(image))


NODES = [ICEditX2Size]
