"""ICEdit for ComfyUI: edit images by instruction with FLUX.1 Fill as an in-context diptych."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """Give ComfyUI the extension; nothing is imported before the host asks."""
    from .nodes import ICEditExtension

    return ICEditExtension()
