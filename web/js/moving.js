// A workflow of the official ICEdit pack whose nodes were just replaced by ours: mend what the host's replacement leaves,
// carry the picture over that stood on the old diptych, and say on ICEdit Diptych what is left to do by hand.
import { app } from "../../../scripts/app.js";
import { words } from "./node_pictures.js";

const GAP = 40; // px between the new Load Image and other nodes
const PREVIEW = 340; // px that a Load Image is high at least once it shows its picture
const TODO = {
    en: {
        head: "Moved over from the official pack. Left to do by hand:",
        none: "Moved over from the official pack. Nothing is left to do.",
        between: "; ",
        end: ".",
        image: "connect a Load Image to image",
        restore: "put ICEdit Restore in the place of the crop, with layout from here: the result has your picture's size then",
        lora: "for the MoE-LoRA take ICEdit Load LoRA: the stock loader cannot read it",
    },
    zh: {
        head: "已从原作者的节点包迁移过来。还需手动完成：",
        none: "已从原作者的节点包迁移过来，不需要再做什么。",
        between: "；",
        end: "。",
        image: "把“加载图像”连到 image",
        restore: "用 ICEdit 还原代替裁剪节点，layout 从这里连过去：结果就与原图同尺寸",
        lora: "MoE-LoRA 请用 ICEdit 加载LoRA：ComfyUI 自带的加载器读不了它",
    },
};

/** Where a node of that size fits at the height of `node`: left of it, and of all that stands there. */
function placeBeside(node, [width, height]) {
    const title = LiteGraph.NODE_TITLE_HEIGHT;
    const [top, bottom] = [node.pos[1] - title, node.pos[1] + height];
    const inRow = node.graph._nodes.filter(
        (other) => other.pos[1] - title < bottom + GAP && other.pos[1] + other.size[1] + GAP > top,
    );
    let x = node.pos[0] - width - GAP;
    for (const other of inRow.sort((one, two) => two.pos[0] - one.pos[0])) {
        const free = x + width + GAP <= other.pos[0] || x >= other.pos[0] + other.size[0] + GAP;
        if (!free) x = other.pos[0] - width - GAP;
    }
    return [x, node.pos[1]];
}

/** Put a Load Image with that file beside the diptych and connect it. */
function carry(node, file) {
    const loader = LiteGraph.createNode("LoadImage");
    loader.size = [loader.size[0], Math.max(loader.size[1], PREVIEW)];
    loader.pos = placeBeside(node, loader.size);
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
    const items = todo.map((name) => texts[name]).join(texts.between) + texts.end;
    const text = todo.length ? `${texts.head} ${items}` : texts.none;
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
