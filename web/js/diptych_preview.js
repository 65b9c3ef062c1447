// ICEdit Diptych: the diptych on the node, with what will be repainted striped.
import { Pictures, register, words } from "./node_pictures.js";

const HINT = {
    en: "In a run, what will be repainted is shown here.",
    zh: "运行时，这里显示将被重画的地方。",
};

register(["ICEditDiptych"], "icedit_pictures", 150, () => new Pictures(["picture"], words(HINT)));
