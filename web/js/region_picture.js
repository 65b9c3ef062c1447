// ICEdit Only What Changes: the region over the source. It comes while the sampler runs, after the node itself is done.
import { api } from "../../../scripts/api.js";
import { Pictures, atPath, register, show, words } from "./node_pictures.js";

const NODE = "ICEditOnlyWhatChanges";
const KEY = "icedit_region"; // as in nodes/host/changes_shown.py
const HINT = {
    en: "After a sampling, what was computed is shown here over the source.",
    zh: "采样之后，这里在原图上显示计算过的区域。",
};

register([NODE], KEY, 150, () => new Pictures(["picture"], words(HINT)));

api.addEventListener(KEY, ({ detail }) => {
    const node = atPath(detail.node);
    if (node?.comfyClass === NODE) show(node, KEY, detail.pictures);
});
