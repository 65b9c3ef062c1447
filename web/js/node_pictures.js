// What the pack's nodes show of a run: shared by the scripts beside this one.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const style = document.createElement("style");
style.textContent = `
.icedit-pictures { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; width: 100%; height: 100%;
  font: 12px sans-serif; color: var(--input-text, #ddd); overflow: hidden; }
.icedit-pictures .stage { position: relative; flex: 1; min-height: 0; overflow: hidden; border-radius: 6px;
  background: var(--comfy-input-bg, #222); }
.icedit-pictures img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; user-select: none; }
.icedit-pictures .bar { display: flex; flex: none; gap: 6px; align-items: center; justify-content: end; }
.icedit-pictures .bar button { padding: 0 8px; border: 0; border-radius: 4px; background: var(--comfy-input-bg, #222);
  color: inherit; font: inherit; cursor: pointer; }
.icedit-pictures [hidden] { display: none; }
`;
// Nodes 2.0 shares a node's free height evenly between pictures and report: the pictures take all of it, and a long
// report is scrolled.
const ROWS = 20; // more than any node of ours has
style.textContent += `
.lg-node-widgets:has(.icedit-pictures) .comfy-markdown-content { height: auto; max-height: 96px; }
`;
for (let row = 0; row < ROWS; row++) {
    const above = row ? `repeat(${row}, min-content) ` : "";
    style.textContent += `.lg-node-widgets:has(> :nth-child(${row + 1}) .icedit-pictures) {
  grid-template-rows: ${above}minmax(min-content, 1fr) !important; grid-auto-rows: min-content; }\n`;
}
document.head.append(style);

const STEPS = { en: ["previous picture", "next picture"], zh: ["上一张", "下一张"] };

/** The entry of {en, zh} for the language of the page. */
export function words(of) {
    const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
    return String(locale).startsWith("zh") ? of.zh : of.en;
}

export function element(tag, className, properties = {}) {
    return Object.assign(document.createElement(tag), { className }, properties);
}

/** A panel that shows one of several entries {name -> file on the server}, with buttons to go through them. */
export class Pictures {
    /** names: of the pictures that lie over one another, the lowest first; hint: said while there are none. */
    constructor(names, hint) {
        this.hint = hint;
        this.root = element("div", "icedit-pictures", { textContent: hint });
        this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
        this.images = Object.fromEntries(
            names.map((name) => [name, element("img", name, { draggable: false, alt: name })]),
        );
        this.stage = element("div", "stage");
        this.stage.append(...Object.values(this.images));
        this.number = element("span", "number");
        const [previous, next] = words(STEPS);
        this.steps = [this.step("‹", "previous", previous, -1), this.number, this.step("›", "next", next, 1)];
        this.bar = element("div", "bar");
        this.bar.append(...this.steps);
        this.entries = [];
    }

    step(text, name, title, by) {
        const button = element("button", name, { type: "button", textContent: text, title });
        button.addEventListener("click", () => this.draw(this.index + by));
        return button;
    }

    /** Say something in the place of the pictures, until there are some. */
    say(hint) {
        this.hint = hint;
        if (!this.entries.length) this.root.replaceChildren(hint);
    }

    show(entries) {
        this.entries = entries;
        if (!entries.length) return this.root.replaceChildren(this.hint);
        for (const part of this.steps) part.hidden = entries.length < 2;
        this.bar.hidden = [...this.bar.children].every((part) => part.hidden);
        this.root.replaceChildren(this.stage, this.bar);
        this.draw(0);
    }

    draw(index) {
        this.index = (index + this.entries.length) % this.entries.length;
        for (const [name, image] of Object.entries(this.images)) {
            image.src = api.apiURL(`/view?${new URLSearchParams(this.entries[this.index][name])}`);
        }
        this.number.textContent = `${this.index + 1}/${this.entries.length}`;
    }
}

/** The node at "12:5": node 5 inside the subgraph node 12. */
export function atPath(path) {
    const ids = String(path).split(":");
    let graph = app.rootGraph ?? app.graph;
    for (const id of ids.slice(0, -1)) graph = graph?.getNodeById(id)?.subgraph;
    return graph?.getNodeById(ids.at(-1)) ?? undefined;
}

function nodeAt(locator) {
    // "5", or "<id of the subgraph>:5"
    const parts = String(locator).split(":");
    const root = app.rootGraph ?? app.graph;
    const graph = parts.length > 1 ? root.subgraphs?.get(parts[0]) : root;
    return graph?.getNodeById(parts.at(-1));
}

function remount(node, root) {
    // Nodes 2.0 may keep the element of an earlier node with the same id on the screen, e.g. after an undo.
    if (node.graph !== app.canvas?.graph) return;
    const mounted = document.querySelector(`[data-node-id="${CSS.escape(node.id)}"] .icedit-pictures`);
    if (mounted && mounted !== root) mounted.replaceWith(root);
}

/** Put entries on a node that `register` gave a panel. */
export function show(node, key, entries) {
    const pictures = node?.iceditPictures;
    if (!pictures) return;
    remount(node, pictures.root);
    if (JSON.stringify(entries) === JSON.stringify(pictures.entries)) return;
    pictures.show(entries);
    const [width, height] = node.computeSize();
    node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    node.setDirtyCanvas?.(true, true);
}

/**
 * Give every node of these types a panel for what its runs send under `key`.
 * height: px of the panel once there are pictures; make: node -> Pictures.
 */
export function register(types, key, height, make) {
    app.registerExtension({
        name: `icedit.${key.replace("icedit_", "")}`,
        nodeCreated(node) {
            if (!types.includes(node.comfyClass)) return;
            const pictures = (node.iceditPictures = make(node));
            pictures.height = height;
            pictures.root.dataset.testid = key.replace("_", "-");
            const widget = node.addDOMWidget(key, key, pictures.root, {
                serialize: false,
                hideOnZoom: false,
                getMinHeight: () => (pictures.entries.length ? height : (pictures.hintHeight ?? 20)),
                setValue: (value) => (node.iceditCarried = value), // what nodes/host/replacements.py maps here
            });
            widget.serialize = false;
            const before = node.onExecuted;
            node.onExecuted = function (output) {
                before?.apply(this, arguments);
                show(this, key, output?.[key] ?? []);
            };
        },
        // Outputs come back when a workflow's tab is opened again.
        onNodeOutputsUpdated(outputs) {
            for (const [locator, output] of Object.entries(outputs)) {
                const node = output?.[key] && nodeAt(locator);
                if (types.includes(node?.comfyClass)) show(node, key, output[key]);
            }
        },
    });
}
