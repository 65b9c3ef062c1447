// Reports on our nodes break between words: the host's text on the canvas breaks inside them.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { atPath } from "./node_pictures.js";

const WIDGET = "$$node-text-preview"; // the host's
const style = document.createElement("style");
style.textContent = ".icedit-report .break-all { word-break: normal; overflow-wrap: anywhere; }";
document.head.append(style);

function mark(path) {
    const node = atPath(path);
    const widget = node?.comfyClass?.startsWith("ICEdit") && node.widgets?.find(({ name }) => name === WIDGET);
    if (widget?.props) widget.props = { ...widget.props, class: "icedit-report" };
    return Boolean(widget);
}

app.registerExtension({
    name: "icedit.report_text",
    setup() {
        api.addEventListener("progress_text", ({ detail }) => {
            // The host's own listener makes the widget, before or after this one, and draws it later.
            if (!mark(detail.nodeId)) queueMicrotask(() => mark(detail.nodeId));
        });
    },
});
