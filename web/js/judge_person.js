// ICEdit Judge (person): shows waiting candidates above the page and sends the click back.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { atPath, words } from "./node_pictures.js";

const NODE = "ICEditJudgePerson";
const WORDS = {
    en: {
        hint: "During a run the candidates appear above the page; click the best one.",
        open: "Show the pictures",
        later: "Later",
        size: "size of the pictures",
        click: "Click the best edit",
        elsewhere: "A run waits for your choice. Open its workflow.",
        lost: "The choice did not arrive",
        source: "source",
        candidate: "candidate",
    },
    zh: {
        hint: "运行时，各个候选显示在页面上方；请点击最好的一个。",
        open: "显示图片",
        later: "稍后",
        size: "图片大小",
        click: "请点击最好的编辑结果",
        elsewhere: "有一次运行在等您选择。请打开它的工作流。",
        lost: "选择没有送达",
        source: "原图",
        candidate: "候选",
    },
};
const SMALLEST = 160; // px of a picture's side, and how much larger the slider makes it
const LARGEST = 900;

const waiting = new Map(); // id -> {id, node, instruction, count}
const dialogs = new Map(); // id -> the dialog that shows that choice's pictures

const style = document.createElement("style");
style.textContent = `
.icedit-waits { box-sizing: border-box; height: 100%; padding: 4px; overflow: auto; font: 13px sans-serif;
  color: var(--input-text, #ddd); }
.icedit-waits button, .icedit-choice button { border: 2px solid transparent; border-radius: 6px; color: inherit;
  background: var(--comfy-input-bg, #222); font: inherit; cursor: pointer; }
.icedit-choice { position: fixed; inset: 5vh 5vw; z-index: 3000; display: flex; flex-direction: column; gap: 8px;
  width: auto; height: auto; max-width: 90vw; max-height: 90vh; margin: auto; padding: 12px; box-sizing: border-box;
  border: 1px solid #4a9eff; border-radius: 10px; background: var(--comfy-menu-bg, #353535);
  color: var(--input-text, #ddd); font: 14px sans-serif; }
.icedit-choice header { display: flex; gap: 12px; align-items: center; }
.icedit-choice header strong { flex: 1; }
.icedit-choice .pictures { display: grid; gap: 8px; overflow: auto; align-content: start;
  grid-template-columns: repeat(auto-fill, minmax(min(var(--side), 100%), 1fr)); }
.icedit-choice figure, .icedit-choice .candidate { margin: 0; padding: 3px; text-align: center; }
.icedit-choice .candidate:hover, .icedit-choice .candidate:focus-visible { border-color: #4a9eff; outline: none; }
.icedit-choice button:disabled { cursor: default; opacity: 0.5; }
.icedit-choice img { display: block; width: 100%; object-fit: contain; }
`;
document.head.append(style);

function findNode(path) {
    const node = atPath(path);
    return node?.comfyClass === NODE ? node : undefined;
}

function say(severity, detail) {
    app.extensionManager?.toast?.add({ severity, summary: "ICEdit", detail, life: 6000 });
}

function post(path, body) {
    return api.fetchApi(path, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
    });
}

function picture(choice, name, label) {
    const image = document.createElement("img");
    image.src = api.apiURL(`/icedit/choices/${choice.id}/${name}`);
    image.alt = label;
    return [image, document.createTextNode(label)];
}

async function click(choice, index, dialog) {
    const buttons = dialog.querySelectorAll(".candidate");
    buttons.forEach((button) => (button.disabled = true));
    try {
        const answer = await post(`/icedit/choices/${choice.id}`, { index });
        if (!answer.ok && answer.status !== 404) throw new Error(await answer.text());
        over(choice.id);
    } catch (error) {
        buttons.forEach((button) => (button.disabled = false));
        say("error", `${words(WORDS).lost}: ${error.message}`);
    }
}

function button(className, text, clicked) {
    const made = Object.assign(document.createElement("button"), { className, type: "button" });
    made.append(...[text].flat());
    made.addEventListener("click", clicked);
    return made;
}

// Above the page and as large as it allows: on the node the pictures would be small, or lie over its neighbours.
function open(choice) {
    if (dialogs.has(choice.id)) return;
    const texts = words(WORDS);
    const dialog = document.createElement("dialog");
    dialog.className = "icedit-choice";
    const task = document.createElement("strong");
    task.textContent = `${texts.click}: ${choice.instruction}`;
    const size = Object.assign(document.createElement("input"), {
        type: "range", min: SMALLEST, max: LARGEST, value: 260, title: texts.size,
    });
    size.addEventListener("input", () => dialog.style.setProperty("--side", `${size.value}px`));
    dialog.style.setProperty("--side", `${size.value}px`);
    const bar = document.createElement("header");
    bar.append(task, size, button("later", texts.later, () => close(choice.id)));
    const pictures = document.createElement("div");
    pictures.className = "pictures";
    const source = document.createElement("figure");
    source.append(...picture(choice, "source", texts.source));
    pictures.append(source);
    for (let index = 0; index < choice.count; index++) {
        const shown = picture(choice, index, `${texts.candidate} ${index}`);
        pictures.append(button("candidate", shown, () => click(choice, index, dialog)));
    }
    dialog.append(bar, pictures);
    document.body.append(dialog);
    dialogs.set(choice.id, dialog);
    dialog.show(); // not modal: the run can still be cancelled
}

function close(id) {
    dialogs.get(id)?.remove();
    dialogs.delete(id);
}

function panels(node) {
    // Nodes 2.0 may keep the element of an earlier node with the same id on the screen, e.g. after an undo.
    const mounted = document.querySelectorAll(`[data-node-id="${CSS.escape(node.id)}"] .icedit-waits`);
    return new Set([node.iceditPanel, ...mounted]);
}

function draw(node) {
    const texts = words(WORDS);
    const choice = [...waiting.values()].find((one) => findNode(one.node) === node);
    for (const panel of panels(node)) {
        panel.replaceChildren(choice ? button("open", texts.open, () => open(choice)) : texts.hint);
    }
    node.setDirtyCanvas?.(true, true);
}

function show(choice) {
    const news = !waiting.has(choice.id);
    choice.seen = waiting.get(choice.id)?.seen;
    waiting.set(choice.id, choice);
    post(`/icedit/choices/${choice.id}/shown`, { client_id: api.clientId }).catch(() => {});
    const node = findNode(choice.node);
    if (node) draw(node);
    if (node && !choice.seen) open(choice);
    choice.seen ||= Boolean(node);
    if (news) say("info", words(WORDS)[node ? "click" : "elsewhere"]);
}

function over(id) {
    const choice = waiting.get(id);
    waiting.delete(id);
    close(id);
    const node = choice && findNode(choice.node);
    if (node) draw(node);
}

async function refresh() {
    const answer = await api.fetchApi("/icedit/choices");
    if (!answer.ok) return;
    const choices = await answer.json();
    const ids = new Set(choices.map((choice) => choice.id));
    [...waiting.keys()].filter((id) => !ids.has(id)).forEach(over);
    choices.forEach(show);
}

app.registerExtension({
    name: "icedit.judge_person",
    setup() {
        api.addEventListener("icedit.choice", (event) => show(event.detail));
        api.addEventListener("icedit.choice_over", (event) => over(event.detail.id));
        api.addEventListener("reconnected", refresh);
    },
    nodeCreated(node) {
        if (node.comfyClass !== NODE) return;
        const panel = document.createElement("div");
        panel.className = "icedit-waits";
        panel.textContent = words(WORDS).hint;
        panel.addEventListener("pointerdown", (event) => event.stopPropagation());
        panel.addEventListener("wheel", (event) => event.stopPropagation());
        node.iceditPanel = panel;
        const widget = node.addDOMWidget("choice", "icedit_choice", panel, {
            serialize: false,
            hideOnZoom: false,
            getMinHeight: () => 60,
        });
        widget.serialize = false;
    },
    afterConfigureGraph: refresh,
});
