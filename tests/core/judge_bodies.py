"""What judges' servers send, one body a case, in the shapes of their documentation and of reports about them."""

from __future__ import annotations

import math


def chat(content, finish="stop", top=None, **message):
    """A chat completion; `content=...` leaves the field out."""
    said = {"role": "assistant"} | ({} if content is ... else {"content": content}) | message
    choice = {"index": 0, "message": said, "finish_reason": finish, "logprobs": None}
    if top:
        logs = [{"token": token, "logprob": math.log(p), "bytes": list(token.encode())} for token, p in top.items()]
        choice["logprobs"] = {"content": [logs[0] | {"top_logprobs": logs}]}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}


COMPARED = "\nOkay, edit 1 has a red hat and edit 2 a blue one, so 1"

ANSWERS = {  # all say 2
    "vLLM": chat("2", top={"2": 0.8, "1": 0.2}, refusal=None, annotations=None, tool_calls=[], reasoning=None),
    "vLLM, reasoning parser": chat("\n\n2", reasoning=COMPARED, reasoning_content=COMPARED, tool_calls=[]),
    "vLLM, no reasoning parser": chat(f"{COMPARED}\n</think>\n\n2", top={"\n": 0.9, "1": 0.05}),
    "vLLM, probabilities of a thought": chat("2", reasoning_content=COMPARED, top={"1": 0.5, "Okay": 0.3}),
    "Ollama": chat("2") | {"system_fingerprint": "fp_ollama", "usage": {"prompt_tokens": 9}},
    "Ollama, thinking": chat("2", reasoning=COMPARED),
    "Ollama, older, in the text": chat(f"<think>{COMPARED}</think>\n\n2"),
    "LM Studio": chat("2", tool_calls=[]) | {"stats": {}, "system_fingerprint": "m"},
    "LM Studio, end alone": chat(f"{COMPARED}</think>2"),
    "LM Studio, Gemma 4": chat(f"<|channel>thought{COMPARED}\n<channel|>2"),
    "LM Studio, gpt-oss": chat("2", reasoning=COMPARED),
    "llama.cpp": chat("2") | {"timings": {"predicted_n": 2}, "system_fingerprint": "b9294-0f3cb3fc8"},
    "llama.cpp, thinking": chat("2", reasoning_content=COMPARED),
    "llama.cpp, harmony as it comes": chat(
        f"<|channel|>analysis<|message|>{COMPARED}<|end|><|start|>assistant<|channel|>final<|message|>2"
    ),
    "transformers serve": {"choices": [{"finish_reason": "stop", "index": 0, "message": {"content": "2"}}], "id": "1"},
    "transformers serve, gpt-oss without marks": chat(f"analysis{COMPARED}assistantfinal2"),
    "transformers serve, GLM's box": chat("<think>hm</think><answer><|begin_of_box|>2<|end_of_box|></answer>"),
    "Mistral, parts": chat(
        [{"type": "thinking", "thinking": [{"type": "text", "text": COMPARED}]}, {"type": "text", "text": "2"}]
    ),
    "Mistral, marks": chat(f"[THINK]{COMPARED}[/THINK]2"),
    "Kimi": chat(f"\u25c1think\u25b7{COMPARED}\u25c1/think\u25b72"),
    "parts of text": chat([{"type": "text", "text": "The better "}, {"type": "text", "text": "edit is 2"}]),
    "prose with probabilities": chat("The better edit is 2", "length", {"The": 0.93, "1": 0.03, "2": 0.004}),
    "bold with probabilities": chat("**2**", top={"**": 0.97, "1": 0.012, "2": 0.006}),
    "end of turn left in": chat("2<|im_end|>", top={"2": 0.9, "1": 0.1}),
    "completions' own probabilities": chat("2") | {"logprobs": {"tokens": ["2"], "token_logprobs": [-0.1]}},
}

CUT = {  # all were still thinking
    "Ollama": chat("", "length", reasoning="The user is asking me to"),
    "vLLM": chat(None, "length", reasoning_content="\nOkay, let me compare edit 1"),
    "llama.cpp": chat(..., "length", reasoning_content="Edit 1"),
    "LM Studio": chat("<think>\nOkay, edit 1 has", "length"),
    "template opened the thought": chat("Okay, edit 1 has", "length"),
    "gpt-oss": chat("<|channel|>analysis<|message|>We need to compare edit 1", "length"),
    "Gemma 4": chat("<|channel>thought\nEdit 1", "length"),
    "hidden thoughts": chat("", "length", refusal=None),
}

NOTHING = {  # how each is named
    "refusal": (chat(None, refusal="I can't help with that."), "a refusal (I can't help with that.)"),
    "content filter": (chat("", "content_filter"), "content filter"),
    "tool call": (
        chat(None, "tool_calls", tool_calls=[{"id": "a", "type": "function", "function": {"name": "answer"}}]),
        "a call of a tool",
    ),
    "no content": (chat(...), "nothing"),
    "transformers serve, Gemma 4": (chat(""), "nothing"),
    "llama.cpp, all taken for a thought": (chat("", reasoning_content="The better one is"), "thoughts alone"),
    "error as content": (chat("Error: at most 1 image may be given"), "'Error: at most 1 image may be given'"),
}

NO_COMPLETION = {
    "LM Studio, error with 200": {"error": "Error rendering prompt with jinja template"},
    "LM Studio, wrong address": {"error": "Unexpected endpoint or method. (POST /chat/completions)"},
    "llama.cpp, context": {"error": {"code": 400, "message": "exceeds the available context size", "n_ctx": 8192}},
    "no choices": {"id": "x", "choices": []},
    "no message": {"choices": [{"index": 0}]},
}

REFUSALS = {  # (status, body, fields that must then be gone)
    "vLLM, too many logprobs": (
        400,
        {"object": "error", "message": "Requested sample logprobs of 10, which is greater than max allowed: 5"},
        {"logprobs", "top_logprobs"},
    ),
    "OpenAI, max_tokens": (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        {"max_tokens"},
    ),
    "OpenAI, temperature": (
        400,
        {"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model."}},
        {"temperature"},
    ),
    "Mistral, forbidden field": (
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "top_logprobs"], "msg": "not permitted"}]},
        {"logprobs", "top_logprobs"},
    ),
    "Ollama, a model that cannot think": (
        400,
        {"error": {"message": '"gemma3:27b" does not support thinking', "type": "invalid_request_error"}},
        {"reasoning_effort", "chat_template_kwargs"},
    ),
}
