// On the Chinese page: titles of the templates' groups and nodes, and choices on our nodes, in Chinese. On every page a
// template's note is in the page's language alone; the files hold both.
import { app } from "../../../scripts/app.js";
import { words } from "./node_pictures.js";

const MARK = "**中文说明**"; // where the Chinese part of a note begins
const FILES = /^- \*\*[\w/]+\/\*\*: .*$/gm; // the note's list of model files, which both languages share
const ABOVE = "（上面列表里的链接）";
const chinese = fetch(new URL("./chinese.json", import.meta.url)).then((answer) => answer.json());
let known;

const isChinese = () => words({ en: false, zh: true });

/** A note's text in one language; headings: the Chinese ones. */
export function inOneLanguage(text, zh, headings) {
    const at = text.indexOf(MARK);
    if (at < 0) return text;
    const [english, other] = [text.slice(0, at).trimEnd(), text.slice(at)];
    if (!zh) return english;
    const heading = english.match(/^## (.*)$/m)?.[1] ?? "";
    const files = (english.match(FILES) ?? []).join("\n");
    const own = other.slice(MARK.length).replace(/^[：:]\s*/, "").replace(ABOVE, files ? "（下面列表里的链接）" : "");
    return [`## ${headings[heading] ?? heading}`, own.trimEnd(), files].filter(Boolean).join("\n\n");
}

function translate(graph, titles) {
    for (const group of graph.groups ?? []) group.title = titles[group.title] ?? group.title;
    for (const node of graph.nodes ?? []) if (node.title) node.title = titles[node.title] ?? node.title;
    for (const inner of graph.definitions?.subgraphs ?? []) translate(inner, titles);
}

function isOurs(graph) {
    const all = [graph, ...(graph.definitions?.subgraphs ?? [])].flatMap((part) => part.nodes ?? []);
    return all.some((node) => node.type?.startsWith("ICEdit"));
}

app.registerExtension({
    name: "icedit.chinese",
    async setup() {
        known = await chinese;
    },
    async beforeConfigureGraph(graph) {
        if (!graph || !isOurs(graph)) return;
        const { titles, headings } = await chinese;
        for (const node of graph.nodes ?? []) {
            const [text] = node.widgets_values ?? [];
            if (node.type === "MarkdownNote" && typeof text === "string") {
                node.widgets_values = [inOneLanguage(text, isChinese(), headings)];
            }
        }
        if (isChinese()) translate(graph, titles);
    },
    nodeCreated(node) {
        if (!node.comfyClass?.startsWith("ICEdit") || !isChinese()) return;
        for (const widget of node.widgets ?? []) {
            if (widget.type !== "combo") continue;
            widget.options.getOptionLabel = (value) => known?.choices[value] ?? String(value ?? "");
        }
    },
});
