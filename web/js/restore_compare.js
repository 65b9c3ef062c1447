// ICEdit Restore: source and result under one slider on the node, with the outline of what was changed.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";

const NODE = "ICEditRestore";
const HEIGHT = 220; // px of the widget once there are pictures
const WORDS = {
    en: { hint: "After a run: source and result under a slider.", before: "source", after: "result", outline: "outline of the change", slider: "source or result", previous: "previous picture", next: "next picture" },
    zh: { hint: "运行之后，这里可以用滑块比较原图和结果。", before: "原图", after: "结果", outline: "变化轮廓", slider: "原图或结果", previous: "上一张", next: "下一张" },
};

const style = document.createElement("style");
style.textContent = `
.icedit-compare { display: flex; flex-direction: column; gap: 4px; box-sizing: border-box; width: 100%; height: 100%;
  font: 12px sans-serif; color: var(--input-text, #ddd); overflow: hidden; }
.icedit-compare .stage { position: relative; flex: 1; min-height: 0; overflow: hidden; border-radius: 6px;
  background: var(--comfy-input-bg, #222); }
.icedit-compare img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; user-select: none; }
.icedit-compare .line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none; }
.icedit-compare .name { position: absolute; bottom: 4px; padding: 1px 5px; border-radius: 4px; background: #000a;
  color: #fff; pointer-events: none; }
.icedit-compare .name.before { left: 4px; }
.icedit-compare .name.after { right: 4px; }
.icedit-compare input[type="range"] { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }
.icedit-compare .stage:focus-within { outline: 1px solid #4a9eff; }
.icedit-compare .bar { display: flex; flex: none; gap: 6px; align-items: center; }
.icedit-compare .bar label { display: flex; gap: 4px; align-items: center; margin-right: auto; cursor: pointer; }
.icedit-compare .bar button { padding: 0 8px; border: 0; border-radius: 4px; background: var(--comfy-input-bg, #222);
  color: inherit; font: inherit; cursor: pointer; }
`;
document.head.append(style);

function words() {
    const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
    return String(locale).startsWith("zh") ? WORDS.zh : WORDS.en;
}

function element(tag, className, properties = {}) {
    return Object.assign(document.createElement(tag), { className }, properties);
}

function address(entry) {
    return api.apiURL(`/view?${new URLSearchParams(entry)}`);
}

function pictures(output) {
    // The sources may be fewer than the results: result i belongs to source i % B.
    const { icedit_before: before, icedit_after: after, icedit_change: change } = output ?? {};
    if (!before?.length || !after?.length || change?.length !== after.length) return [];
    return after.map((entry, index) => ({
        before: address(before[index % before.length]),
        after: address(entry),
        change: address(change[index]),
    }));
}

class Compare {
    constructor() {
        this.root = element("div", "icedit-compare");
        this.root.dataset.testid = "icedit-compare";
        this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
        this.shown = [];
        this.index = 0;
        this.root.textContent = words().hint;
    }

    show(shown) {
        this.shown = shown;
        this.index = 0;
        if (!shown.length) {
            this.root.replaceChildren(words().hint);
            return;
        }
        if (!this.stage) this.build();
        this.root.replaceChildren(this.stage, this.bar);
        this.draw();
    }

    build() {
        const say = words();
        const image = (name) => element("img", name, { draggable: false, alt: say[name] ?? "" });
        this.images = { after: image("after"), before: image("before"), change: image("change") };
        this.line = element("div", "line");
        this.slider = element("input", "slider", { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
        this.slider.setAttribute("aria-label", say.slider);
        this.slider.addEventListener("input", () => this.place());
        this.stage = element("div", "stage");
        this.stage.addEventListener("pointermove", (event) => this.follow(event));
        const names = ["before", "after"].map((name) => element("span", `name ${name}`, { textContent: say[name] }));
        this.stage.append(...Object.values(this.images), this.line, ...names, this.slider);
        this.buildBar(say);
        this.place();
    }

    buildBar(say) {
        this.outline = element("input", "outline", { type: "checkbox", checked: true });
        this.outline.addEventListener("change", () => (this.images.change.hidden = !this.outline.checked));
        const label = element("label", "");
        label.append(this.outline, say.outline);
        const step = (text, title, by) => {
            const button = element("button", by < 0 ? "previous" : "next", { type: "button", textContent: text, title });
            button.addEventListener("click", () => {
                this.index = (this.index + by + this.shown.length) % this.shown.length;
                this.draw();
            });
            return button;
        };
        this.number = element("span", "number");
        this.steps = [step("‹", say.previous, -1), this.number, step("›", say.next, 1)];
        this.bar = element("div", "bar");
        this.bar.append(label, ...this.steps);
    }

    draw() {
        for (const [name, image] of Object.entries(this.images)) image.src = this.shown[this.index][name];
        this.number.textContent = `${this.index + 1}/${this.shown.length}`;
        for (const part of this.steps) part.hidden = this.shown.length < 2;
    }

    follow(event) {
        const box = this.stage.getBoundingClientRect();
        if (!box.width) return;
        this.slider.value = (100 * (event.clientX - box.left)) / box.width;
        this.place();
    }

    place() {
        this.images.before.style.clipPath = `inset(0 ${100 - this.slider.value}% 0 0)`;
        this.line.style.left = `${this.slider.value}%`;
    }
}

function show(node, output) {
    const compare = node?.iceditCompare;
    if (!compare) return;
    const found = pictures(output);
    if (JSON.stringify(found) === JSON.stringify(compare.shown)) return;
    compare.show(found);
    if (found.length) {
        const [width, height] = node.computeSize();
        node.setSize([Math.max(node.size[0], width), Math.max(node.size[1], height)]);
    }
    node.setDirtyCanvas?.(true, true);
}

function nodeAt(locator) {
    // "5", or "<id of the subgraph>:5"
    const parts = String(locator).split(":");
    const root = app.rootGraph ?? app.graph;
    const graph = parts.length > 1 ? root.subgraphs?.get(parts[0]) : root;
    return graph?.getNodeById(parts.at(-1));
}

app.registerExtension({
    name: "icedit.restore_compare",
    nodeCreated(node) {
        if (node.comfyClass !== NODE) return;
        const compare = (node.iceditCompare = new Compare());
        const widget = node.addDOMWidget("compare", "icedit_compare", compare.root, {
            serialize: false,
            hideOnZoom: false,
            getMinHeight: () => (compare.shown.length ? HEIGHT : 20),
        });
        widget.serialize = false;
        const before = node.onExecuted;
        node.onExecuted = function (output) {
            before?.apply(this, arguments);
            show(this, output);
        };
    },
    // Outputs come back when a workflow's tab is opened again.
    onNodeOutputsUpdated(outputs) {
        for (const [locator, output] of Object.entries(outputs)) show(nodeAt(locator), output);
    },
});
