// ICEdit Judge (person): shows waiting candidates on the node and sends the click back.
import { app } from "../../../scripts/app.js";
import { api } from "../../../scripts/api.js";
import { words } from "./node_pictures.js";

const NODE = "ICEditJudgePerson";
const WORDS = {
    en: {
        hint: "During a run the candidates appear here; click the best one.",
        click: "Click the best edit",
        elsewhere: "A run waits for your choice. Open its workflow.",
        lost: "The choice did not arrive",
        source: "source",
        candidate: "candidate",
    },
    zh: {
        hint: "运行时，这里显示各个候选；请点击最好的一个。",
        click: "请点击最好的编辑结果",
        elsewhere: "有一次运行在等您选择。请打开它的工作流。",
        lost: "选择没有送达",
        source: "原图",
        candidate: "候选",
    },
};
const MIN_SIZE = [420, 560]; // seven pictures in three rows

const waiting = new Map(); // id -> {id, node, instruction, count}

const style = document.createElement("style");
style.textContent = `
.icedit-choice { display: flex; flex-direction: column; gap: 6px; overflow: auto; box-sizing: border-box;
  height: 100%; padding: 4px; font: 13px sans-serif; color: var(--input-text, #ddd); }
.icedit-choice .pictures { display: grid; gap: 6px; grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); }
.icedit-choice figure, .icedit-choice button { margin: 0; padding: 3px; border: 2px solid transparent;
  border-radius: 6px; background: var(--comfy-input-bg, #222); color: inherit; font: inherit; text-align: center; }
.icedit-choice button { cursor: pointer; }
.icedit-choice button:hover, .icedit-choice button:focus-visible { border-color: #4a9eff; outline: none; }
.icedit-choice:has(button) { background: var(--comfy-menu-bg, #353535); }
[data-node-id]:has(.icedit-choice button) { z-index: 1000 !important; }
.icedit-choice button:disabled { cursor: default; opacity: 0.5; }
.icedit-choice img { display: block; width: 100%; max-height: 320px; object-fit: contain; }
`;
document.head.append(style);

function findNode(path) {
    // "12:5" is node 5 inside the subgraph node 12
    const ids = String(path).split(":");
    let graph = app.rootGraph ?? app.graph;
    for (const id of ids.slice(0, -1)) graph = graph?.getNodeById(id)?.subgraph;
    const node = graph?.getNodeById(ids.at(-1));
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

async function click(choice, index, panel) {
    const buttons = panel.querySelectorAll("button");
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

function panels(node) {
    // Nodes 2.0 may keep the element of an earlier node with the same id on the screen, e.g. after an undo.
    const mounted = document.querySelectorAll(`[data-node-id="${node.id}"] .icedit-choice`);
    return new Set([node.iceditPanel, ...mounted]);
}

function draw(node) {
    const choice = [...waiting.values()].find((one) => findNode(one.node) === node);
    for (const panel of panels(node)) fill(panel, choice);
    resize(node, choice);
    node.setDirtyCanvas?.(true, true);
}

// With pictures to choose from the node lies large above its neighbours; then it is as it was.
function resize(node, choice) {
    if (choice) {
        node.iceditSize ??= [...node.size];
        node.setSize(node.size.map((side, axis) => Math.max(side, MIN_SIZE[axis])));
    } else if (node.iceditSize) {
        node.setSize(node.iceditSize);
        delete node.iceditSize;
    }
}

function fill(panel, choice) {
    if (!choice) {
        panel.replaceChildren(words(WORDS).hint);
        return;
    }
    const texts = words(WORDS);
    const task = document.createElement("div");
    task.textContent = `${texts.click}: ${choice.instruction}`;
    const pictures = document.createElement("div");
    pictures.className = "pictures";
    const source = document.createElement("figure");
    source.append(...picture(choice, "source", texts.source));
    pictures.append(source);
    for (let index = 0; index < choice.count; index++) {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...picture(choice, index, `${texts.candidate} ${index}`));
        button.addEventListener("click", () => click(choice, index, panel));
        pictures.append(button);
    }
    panel.replaceChildren(task, pictures);
}

function show(choice) {
    const news = !waiting.has(choice.id);
    waiting.set(choice.id, choice);
    post(`/icedit/choices/${choice.id}/shown`, { client_id: api.clientId }).catch(() => {});
    const node = findNode(choice.node);
    if (node) draw(node);
    if (news) say("info", words(WORDS)[node ? "click" : "elsewhere"]);
}

function over(id) {
    const choice = waiting.get(id);
    waiting.delete(id);
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
        panel.className = "icedit-choice";
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
