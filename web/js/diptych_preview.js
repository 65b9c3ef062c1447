// ICEdit Diptych: the diptych on the node, with what will be repainted striped. ICEdit Demo Scene: its picture.
import { Pictures, register, words } from "./node_pictures.js";

const SCENE = { en: "In a run, the scene is shown here.", zh: "运行时，这里显示场景的图片。" };
const HINT = {
    en: "In a run, what will be repainted is shown here.",
    zh: "运行时，这里显示将被重画的地方。",
};

register(["ICEditDiptych", "ICEditDemoScene"], "icedit_pictures", 150, (node) => {
    return new Pictures(["picture"], words(node.comfyClass === "ICEditDiptych" ? HINT : SCENE));
});
