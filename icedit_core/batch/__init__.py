"""Many edits by one workflow: rows in, pictures and one record a row out, over one or several ComfyUI servers.

It needs what `icedit edit` needs, aiohttp and Pillow.
"""
