// A workflow of the official ICEdit pack whose nodes were just replaced by ours: mend what the host's replacement leaves,
// carry the picture over that stood on the old diptych, and say on ICEdit Diptych what is left to do by hand.
import { app } from "../../../scripts/app.js";
import { words } from "./node_pictures.js";

const GAP = 40; // px between the new Load Image and the diptych
const TODO = {
    en: {
        head: "Moved over from the official pack. Left to do by hand:",
        none: "Moved over from the official pack. Nothing is left to do.",
        image: "connect a Load Image to image;",
        restore: "put ICEdit Restore in the place of the crop, with layout from here: the result has your picture's size then;",
        lora: "for the MoE-LoRA take ICEdit Load LoRA: the stock loader cannot read it.",
    },
    zh: {
        head: "已从原作者的节点包迁移过来。还需手动完成：",
        none: "已从原作者的节点包迁移过来，不需要再做什么。",
        image: "把“加载图像”连到 image；",
        restore: "用 ICEdit 还原代替裁剪节点，layout 从这里连过去：结果就与原图同尺寸；",
        lora: "MoE-LoRA 请用 ICEdit 加载LoRA：ComfyUI 自带的加载器读不了它。",
    },
};

/** Put a Load Image with that file left of the diptych and connect it. */
function carry(node, file) {
    const loader = LiteGraph.createNode("LoadImage");
    loader.pos = [node.pos[0] - loader.size[0] - GAP, node.pos[1]];
    node.graph.add(loader);
    loader.widgets.find((widget) => widget.name === "image").value = file;
    loader.connect(0, node, node.inputs.findIndex((input) => input.name === "image"));
    loader.widgets[0].callback?.(file);
}

function left(node) {
    const types = new Set(node.graph._nodes.map((other) => other.type));
    const open = node.inputs.find((input) => input.name === "image").link == null;
    return [
        open && "image",
        !types.has("ICEditRestore") && "restore",
        types.has("LoraLoaderModelOnly") && "lora",
    ].filter(Boolean);
}

function say(node) {
    const texts = words(TODO);
    const todo = left(node);
    const text = todo.length ? [texts.head, ...todo.map((name) => texts[name])].join(" ") : texts.none;
    node.iceditPictures.hintHeight = 110;
    node.iceditPictures.say(text);
    app.extensionManager?.toast?.add({ severity: "info", summary: "ICEdit", detail: text, life: 20000 });
}

// The host puts a replaced node into its graph without telling it, so that its texts and panels have no element on the
// canvas until the tab is changed, and it keeps the old node's size.
function settle(node) {
    node.onAdded?.(node.graph);
    if (node.comfyClass === "ICEditDiptych") {
        const image = node.inputs.find((input) => input.name === "image");
        if (image.link == null && node.iceditCarried) carry(node, node.iceditCarried);
        say(node);
    }
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    node.setDirtyCanvas?.(true, true);
}

app.registerExtension({
    name: "icedit.moving",
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("ICEdit")) return;
        let told = false;
        const before = node.onAdded;
        node.onAdded = function () {
            told = true;
            before?.apply(this, arguments);
        };
        // A replacement is over by then; any other new node was told, or is in no graph yet.
        setTimeout(() => node.graph && !told && settle(node));
    },
});
