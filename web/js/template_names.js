// The pack's cards in the template browser: a name and a description for people, in the page's language, those that run
// at once first. The host shows a pack's file names.
import { app } from "../../../scripts/app.js";
import { words } from "./node_pictures.js";

const CARD = '[data-testid^="template-workflow-"]';
let names; // file name -> {en, zh: [name, description]}, in the order of the cards

function ours(card) {
    const name = card.dataset.testid.slice("template-workflow-".length);
    return names[name] ? name : undefined;
}

function write(element, text) {
    if (!element || element.textContent === text) return;
    element.textContent = text;
    element.title = text;
}

function decorate() {
    const cards = [...document.querySelectorAll(CARD)];
    const found = cards.map(ours);
    const alone = found.every(Boolean); // among others' cards ours stay where they are
    const order = Object.keys(names);
    cards.forEach((card, index) => {
        card.style.order = alone ? order.indexOf(found[index]) : "";
        if (!found[index]) return;
        const [title, description] = words(names[found[index]]);
        write(card.querySelector("h3"), title);
        write(card.querySelector("p"), description);
    });
}

app.registerExtension({
    name: "icedit.template_names",
    async setup() {
        names = await (await fetch(new URL("./templates.json", import.meta.url))).json();
        let waits = false;
        new MutationObserver(() => {
            if (waits || !document.querySelector(CARD)) return;
            waits = true;
            requestAnimationFrame(() => {
                waits = false;
                decorate();
            });
        }).observe(document.body, { childList: true, subtree: true, attributes: true, attributeFilter: ["src"] });
    },
});
