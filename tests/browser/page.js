// What the tests ask the page, beside clicking and typing: `look.<name>(...)`, put into every page before its own scripts.
window.look = {
    heard: [], // [event, prompt id]
    titles: [], // of the tab

    // The page can be used, and what was open before is open again.
    ready: () =>
        window.app?.vueAppReady &&
        app.extensionManager?.spinner === false &&
        app.canvas?.onSelectionChange &&
        Object.keys(LiteGraph.registered_node_types).length > 100,

    listen() {
        for (const name of ["execution_start", "execution_success", "execution_error", "execution_interrupted"])
            app.api.addEventListener(name, (event) => look.heard.push([name, event.detail.prompt_id]));
        new MutationObserver(() => look.titles.push(document.title)).observe(document.querySelector("title"), {
            childList: true,
            subtree: true,
            characterData: true,
        });
    },

    // How far the sampler was, as the tab's titles said: "[25%][50%] KSampler".
    percents: () => look.titles.flatMap((title) => title.match(/\[(\d+)%\] KSampler/)?.[1] ?? []).map(Number),
    sampling: () => look.percents().some((percent) => percent > 0),

    node: (id) => app.canvas.graph.getNodeById(id),
    ids: (type) => app.canvas.graph._nodes.filter((node) => node.type === type).map((node) => node.id),
    names: () => app.canvas.graph._nodes.map((node) => [node.type, node.title]),
    // A new node, alone and selected.
    place(type) {
        const node = LiteGraph.createNode(type);
        app.canvas.graph.add(node);
        node.pos = [0, -3000];
        app.canvas.selectItems([node]);
    },
    all: () => app.canvas.graph._nodes.map((node) => node.id),
    settled: () => app.canvas.graph._nodes.length && !app.canvas.graph._nodes.some((node) => node.flags.ghost),
    enter: (id) => void app.canvas.openSubgraph(look.node(id).subgraph, look.node(id)),
    // The node that an input is linked to, or null.
    linked(id, name) {
        const link = app.canvas.graph.links.get(look.node(id).inputs.find((input) => input.name === name)?.link);
        const node = link && look.node(link.origin_id);
        return node && { type: node.type, widgets: node.widgets.map((widget) => widget.value) };
    },
    widget: (id, name) => look.node(id).widgets.find((widget) => widget.name === name),

    // Every node is on the page, and the view has stood still for two frames.
    async drawn() {
        const view = () => [app.canvas.ds.scale, ...app.canvas.ds.offset].join();
        const before = view();
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
        const all = !LiteGraph.vueNodesMode || app.canvas.graph._nodes.every((node) => look.element(node.id));
        return all && before === view();
    },
    element: (id) => document.querySelector(`[data-node-id="${id}"]`),

    // Types that are not there, and of nodes that show an error, in subgraphs too.
    missing(graph = app.rootGraph ?? app.graph) {
        return graph._nodes.flatMap((node) => {
            if (node.isSubgraphNode?.()) return look.missing(node.subgraph);
            return LiteGraph.registered_node_types[node.type] && !node.has_errors ? [] : [node.type];
        });
    },

    // Title, place and size with the title bar, in the canvas's units.
    boxes: () =>
        app.canvas.graph._nodes.map((node) => {
            const [bar, element] = [LiteGraph.NODE_TITLE_HEIGHT, look.element(node.id)];
            const height = element ? element.offsetHeight : node.size[1] + bar;
            return { title: node.title, x: node.pos[0], y: node.pos[1] - bar, width: node.size[0], height };
        }),

    groups: () =>
        app.canvas.graph._groups.map(({ pos: [x, y], size: [width, height] }) => ({ x, y, width, height })),

    approach(id, scale) {
        app.canvas.ds.scale = scale;
        app.canvas.centerOnNode(look.node(id));
        app.canvas.setDirty(true, true);
    },

    // Where a node's title is on the screen.
    title(id) {
        const [x, y] = look.node(id).pos;
        const box = app.canvas.canvas.getBoundingClientRect();
        const [left, top] = app.canvas.ds.convertOffsetToCanvas([x + 90, y - LiteGraph.NODE_TITLE_HEIGHT / 2]);
        return [left + box.x, top + box.y];
    },

    // The picture that a node shows, once it is there and its bytes are not those of another digest.
    async picture(id, not) {
        const shown = look.element(id) ? look.element(id).querySelector("img") : look.node(id).imgs?.[0];
        if (!shown?.complete || !shown.naturalWidth) return null;
        const [width, height] = [shown.naturalWidth, shown.naturalHeight];
        const paper = new OffscreenCanvas(width, height).getContext("2d");
        paper.drawImage(shown, 0, 0);
        const bytes = await crypto.subtle.digest("SHA-256", paper.getImageData(0, 0, width, height).data);
        const digest = [...new Uint8Array(bytes)].join();
        return digest !== not && { width, height, digest };
    },

    loaded: (selector) =>
        [...document.querySelectorAll(selector)].every((image) => image.complete && image.naturalWidth),
    text: (id) => app.nodeOutputs[id]?.text ?? [],

    start: (since) => look.heard.slice(since).find(([name]) => name === "execution_start")?.[1],
    end: (id) => look.heard.find(([name, of]) => of === id && name !== "execution_start")?.[0],

    // What is open, whether it differs from its file, and the graph as it would be saved and queued.
    open() {
        const workflow = app.extensionManager.workflow.activeWorkflow;
        return { path: workflow?.path, modified: workflow?.isModified };
    },
    async contents() {
        const { output, workflow } = await app.graphToPrompt();
        return { output, nodes: workflow.nodes, links: workflow.links, groups: workflow.groups };
    },
};
