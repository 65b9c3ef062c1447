// What our nodes say of a run, in Chinese on the Chinese page: sentence by sentence from chinese_reports.json, whose
// keys are the English sentences. What stands in no key (names, instructions, a judge's own words) stays as it is.
const NUMBER = "[-+]?(?:\\d[\\d./e-]*|nan)";
const SPLITS = [["\n", "\n"], [/(?<=[.!?]) /, ""], ["; ", "；"], [", ", "，"]]; // what parts a text, and its Chinese
const OURS = /\{(\w+)\}/;

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const asShown = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;"); // report.py

function rule([english, chinese]) {
    const parts = asShown(english).split(OURS);
    const names = parts.filter((_, index) => index % 2);
    const pattern = parts.map((part, index) => {
        if (index % 2) return /^n\d?$/.test(part) ? `(${NUMBER})` : "(.+?)";
        return literal(part);
    });
    const said = parts.filter((_, index) => !(index % 2)).join("").length;
    return { pattern: new RegExp(`^${pattern.join("")}$`, "i"), names, chinese, said };
}

/** {English with {n} for numbers and {words} for others -> Chinese} -> a function that translates a report. */
export function translator(table) {
    const rules = Object.entries(table).map(rule).sort((a, b) => b.said - a.said); // the most literal one first

    function whole(text) {
        for (const { pattern, names, chinese } of rules) {
            const found = text.match(pattern);
            if (found) return chinese.replace(/\{(\w+)\}/g, (_, name) => report(found[names.indexOf(name) + 1]));
        }
    }

    function report(text) {
        const ended = text.endsWith(".") ? text.slice(0, -1) : undefined;
        const known = whole(text) ?? (ended && whole(ended)?.concat("。"));
        if (known !== undefined) return known;
        for (const [separator, chinese] of SPLITS) {
            const pieces = text.split(separator);
            if (pieces.length < 2) continue;
            const told = pieces.map(report);
            return told.some((piece, index) => piece !== pieces[index]) ? told.join(chinese) : text;
        }
        return text;
    }
    return report;
}
