// ICEdit Restore and Keep Unedited: source and result under one slider on the node, with the outline of what was changed.
import { Pictures, element, register, words } from "./node_pictures.js";

const WORDS = {
    en: {
        hint: "After a run: source and result under a slider.",
        before: "source",
        after: "result",
        outline: "outline of the change",
        slider: "source or result",
    },
    zh: {
        hint: "运行之后，这里可以用滑块比较原图和结果。",
        before: "原图",
        after: "结果",
        outline: "变化处的轮廓",
        slider: "原图或结果",
    },
};

const style = document.createElement("style");
style.textContent = `
.icedit-pictures .line { position: absolute; top: 0; bottom: 0; width: 2px; margin-left: -1px; background: #fff;
  box-shadow: 0 0 3px #000; pointer-events: none; }
.icedit-pictures .name { position: absolute; bottom: 4px; padding: 1px 5px; border-radius: 4px; background: #000a;
  color: #fff; pointer-events: none; }
.icedit-pictures .name.left { left: 4px; }
.icedit-pictures .name.right { right: 4px; }
.icedit-pictures .slider { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0;
  cursor: ew-resize; }
.icedit-pictures .stage:focus-within { outline: 1px solid #4a9eff; }
.icedit-pictures .bar label { display: flex; gap: 4px; align-items: center; margin-right: auto; cursor: pointer; }
`;
document.head.append(style);

class Compare extends Pictures {
    constructor() {
        const say = words(WORDS);
        super(["after", "before", "change"], say.hint);
        this.line = element("div", "line");
        this.slider = element("input", "slider", { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
        this.slider.setAttribute("aria-label", say.slider);
        this.slider.addEventListener("input", () => this.place());
        this.stage.addEventListener("pointermove", (event) => this.follow(event));
        const left = element("span", "name left", { textContent: say.before });
        const right = element("span", "name right", { textContent: say.after });
        this.stage.append(this.line, left, right, this.slider);
        this.outline = element("input", "outline", { type: "checkbox", checked: true });
        this.outline.addEventListener("change", () => (this.images.change.hidden = !this.outline.checked));
        const label = element("label", "");
        label.append(this.outline, say.outline);
        this.bar.prepend(label);
        this.place();
    }

    /** A new result is seen half by half, wherever the mouse left the slider. */
    show(entries) {
        this.slider.value = 50;
        this.place();
        super.show(entries);
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

register(["ICEditRestore", "ICEditKeepUnedited"], "icedit_compare", 220, () => new Compare());
