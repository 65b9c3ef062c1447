"""Words are taken as typed in every field; a pack folder that ComfyUI serves no templates from is named."""

import importlib
import logging

import pytest


async def test_words_are_taken_as_typed_in_every_field(client):
    """The front end cuts comments and expands {a|b} in every field that declares dynamic prompts."""
    written = [
        (kind, name, spec[1].get("dynamicPrompts"))
        for kind, node in (await client.object_info()).items()
        if kind.startswith("ICEdit")
        for group in node["input"].values()
        for name, spec in (group.items() if isinstance(group, dict) else ())
        if spec[0] == "STRING"
    ]
    assert len(written) >= 4
    assert [entry for entry in written if entry[2]] == []


@pytest.mark.parametrize("folder", ["ICEdit-main (1)", "ICEdit main", "\u7f16\u8f91", "icedit[1]"])
def test_a_folder_whose_templates_the_host_cannot_serve_is_named(pack, folder):
    package = importlib.import_module(f"{pack.__name__}.nodes")
    assert "Rename it to 'icedit'" in package.folder_note(folder)
    assert not package.folder_note("ComfyUI-ICEdit_2.1+b")


async def test_it_is_said_when_the_pack_loads(pack, monkeypatch, caplog):
    package = importlib.import_module(f"{pack.__name__}.nodes")
    replacements = importlib.import_module(f"{package.__name__}.host.replacements")

    async def nothing():
        return None

    monkeypatch.setattr(replacements, "register", nothing)
    monkeypatch.setattr(package, "__file__", "/packs/ICEdit-main (1)/nodes/__init__.py")
    with caplog.at_level(logging.WARNING):
        await package.ICEditExtension().on_load()
    assert "'ICEdit-main (1)'" in caplog.text
