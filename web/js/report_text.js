// Reports on our nodes break between words, where the host's text on the canvas breaks inside them, keep their lines in
// Nodes 2.0, which takes them for Markdown, and are Chinese on the Chinese page.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { translator } from "./chinese_reports.js";
import { atPath, words } from "./node_pictures.js";

const WIDGET = "$$node-text-preview"; // the host's
const style = document.createElement("style");
style.textContent = ".icedit-report .break-all { word-break: normal; overflow-wrap: anywhere; }";
document.head.append(style);
const OF_WORDS = ["ICEditPrompt", "ICEditX2Prompt", "ICEditDemoScene"]; // they repeat what was typed, in English
let inChinese;

function chinese(node, text) {
    if (!OF_WORDS.includes(node.comfyClass)) return inChinese(text);
    return text.split("\n").map((line) => (line.startsWith("Note: ") ? inChinese(line) : line)).join("\n");
}

/** Lines stay lines, and "1. " at their beginning makes no list that swallows the lines after it. */
const inLines = (text) => text.replace(/^(\d+)\. /gm, "$1&#46; ").replace(/ *\n/g, "  \n");

function mark(path) {
    const node = atPath(path);
    const widget = node?.comfyClass?.startsWith("ICEdit") && node.widgets?.find(({ name }) => name === WIDGET);
    if (!widget) return;
    if (widget.props) widget.props = { ...widget.props, class: "icedit-report" };
    const text = String(widget.value);
    widget.value = inLines(inChinese ? chinese(node, text) : text);
}

app.registerExtension({
    name: "icedit.report_text",
    async setup() {
        api.addEventListener("progress_text", ({ detail }) => {
            // The host's own listener makes the widget and sets its text, before or after this one.
            queueMicrotask(() => mark(detail.nodeId));
        });
        if (!words({ en: false, zh: true })) return;
        const file = new URL("./chinese_reports.json", import.meta.url);
        inChinese = translator(await (await fetch(file)).json());
    },
});
