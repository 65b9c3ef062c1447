"""ICEdit Retry on the page: connected by hand-made links, run with a scripted judge, its words and sheet shown."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .canvas import Canvas
from .conftest import ROOT

NEW = "make the circle blue"


class Judge(BaseHTTPRequestHandler):
    """Scores the first picture 3 and all others 9; says what is missing, and new words."""

    seen: list[str] = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        content = body["messages"][0]["content"]
        text = content if isinstance(content, str) else content[-1]["text"]
        if "JSON Schema" in text:
            said = {"instruction": NEW} if isinstance(content, str) else {"missing": "the circle is not blue"}
        else:
            edit = content[-2]["image_url"]["url"]
            self.seen += [] if edit in self.seen else [edit]
            value = 3 if self.seen.index(edit) == 0 else 9
            said = {"score": [value, value], "reasoning": "scripted"}
        answer = json.dumps({"choices": [{"message": {"content": json.dumps(said)}}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def judge_url() -> Iterator[str]:
    Judge.seen.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def graph(url: str, seed: int) -> dict:
    """The demo workflow with ICEdit Retry in its sampler's place."""
    made = json.loads((ROOT / "workflows" / "api" / "icedit_demo.json").read_text(encoding="utf-8"))
    by_type = {node["class_type"]: (name, node["inputs"]) for name, node in made.items()}
    name, sample = by_type["KSampler"]
    made.pop(name)
    vae = made.pop(by_type["VAEDecode"][0])["inputs"]["vae"]
    layout = made.pop(by_type["ICEditRestore"][0])["inputs"]["layout"]
    words = by_type["ICEditPrompt"][1]
    made["901"] = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": words["instruction"]}}
    words["instruction"] = ["901", 0]
    place = {"url": url, "model": "EditScore-scripted", "timeout": 20, "retries": 0, "parallel": 4}
    asked = {"questions": "VIEScore", "passes": 1, "question_file": "none"}
    made["902"] = {"class_type": "ICEditJudgeServer", "inputs": place | asked}
    links = {"vae": vae, "layout": layout, "source": by_type["ICEditDiptych"][1]["image"], "judge": ["902", 0]}
    plan = {"seed": seed, "count": 1, "steps": 4, "early_steps": 2, "sampler_name": "euler", "scheduler": "simple"}
    kept = {key: sample[key] for key in ("model", "positive", "negative", "latent_image", "cfg")}
    choice = {"instruction": ["901", 0], "rounds": 3, "good_enough": 8.0, "batch": 1}
    made["903"] = {"class_type": "ICEditRetry", "inputs": kept | plan | links | choice}
    made[by_type["SaveImage"][0]]["inputs"]["images"] = ["903", 1]
    made["904"] = {"class_type": "PreviewAny", "inputs": {"source": ["903", 3]}}
    made["905"] = {"class_type": "PreviewImage", "inputs": {"images": ["903", 4]}}
    return made


def test_rounds_run_and_their_words_and_pictures_are_shown(canvas: Canvas, judge_url: str, request):
    seed = 4000 + 10 * len(request.node.name)  # another one in each renderer, whose host is the same
    canvas.page.evaluate("(graph) => app.loadApiJson(graph, 'retrying')", graph(judge_url, seed))
    retry = canvas.node("ICEditRetry")
    canvas.approach(retry, 0.9)
    canvas.shot("retry")
    canvas.finished(canvas.run())
    report = "\n".join(canvas.ask("text", canvas.node("PreviewAny")))
    assert "best is round 2 of 2 (VIEScore, 0 to 10)" in report and NEW in report
    sheet = canvas.node("PreviewImage")
    canvas.approach(sheet, 0.9)
    canvas.shot("retry_sheet")
    judge = canvas.node("ICEditJudgeServer")
    canvas.approach(judge, 0.9)
    canvas.shot("retry_judge")
