// Links between our help pages ("#ICEditRestore"): show that node on the canvas, whose help then opens beside it.
import { app } from "../../../scripts/app.js";

const LINK = '.node-help-content a[href^="#ICEdit"]';

function nodeOf(type) {
    return app.canvas?.graph?._nodes?.find((node) => node.comfyClass === type);
}

function show(type) {
    const node = nodeOf(type);
    if (!node) {
        const name = LiteGraph.registered_node_types[type]?.title ?? type;
        app.extensionManager?.toast?.add({ severity: "info", summary: name, detail: type, life: 6000 });
        return;
    }
    app.canvas.selectItems([node]);
    app.canvas.centerOnNode(node);
}

app.registerExtension({
    name: "icedit.help_links",
    setup() {
        document.addEventListener(
            "click",
            (event) => {
                const link = event.target.closest?.(LINK);
                if (!link) return;
                event.preventDefault();
                show(link.getAttribute("href").slice(1));
            },
            true,
        );
    },
});
