"""Streams as real providers send them, after their public documentation, and what is in them."""

import json
from typing import NamedTuple

from server.protocol import ErrorCode, Finish

LINE_SEPARATOR = "\u2028"
SMILE = "\N{GRINNING FACE}"


class Recorded(NamedTuple):
    """One stream. `lines` are put together with the line ends of the test; `fault`: how it breaks off."""

    format: str
    lines: tuple[str, ...]
    text: str
    finish: Finish | None = None
    reason: str | None = None
    fault: ErrorCode | None = None

    def body(self, end: str = "\n") -> bytes:
        return "".join(line + end for line in self.lines).encode()


def chunk(delta: object, reason: str | None = None, **fields: object) -> str:
    """A chat completion chunk, its characters unescaped."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]} | fields
    return "data: " + json.dumps(frame, ensure_ascii=False)


def event(type: str, named: bool = True, **fields: object) -> tuple[str, ...]:
    data = "data: " + json.dumps({"type": type} | fields, ensure_ascii=False)
    return (f"event: {type}", data, "") if named else (data, "")


def line(**fields: object) -> str:
    return json.dumps({"model": "gemma4", "created_at": "2026-01-15T10:30:04Z"} | fields, ensure_ascii=False)


OPENAI = Recorded(
    "sse",
    (
        chunk({"role": "assistant", "content": "", "refusal": None}, obfuscation="aXd", usage=None),
        "",
        chunk({"content": "Héllo"}, obfuscation="dGz"),
        "",
        chunk({"content": f",{LINE_SEPARATOR}{SMILE} "}),
        "",
        chunk({"content": "you\n"}),
        "",
        chunk({}, "stop"),
        "",
        'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],"usage":{"total_tokens":9}}',
        "",
        "data: [DONE]",
        "",
        chunk({"content": "nobody reads this"}),
        "",
    ),
    f"Héllo,{LINE_SEPARATOR}{SMILE} you\n",
    reason="stop",
)
OPENAI_REFUSAL = Recorded(
    "sse",
    (
        chunk({"role": "assistant", "content": None, "refusal": "I'm sorry, "}),
        "",
        chunk({"refusal": "no."}),
        "",
        chunk({}, "stop"),
        "",
    ),
    "I'm sorry, no.",
    Finish.CONTENT_FILTER,
    "stop",
)
AZURE = Recorded(
    "sse",
    (
        'data: {"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":'
        '[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"}}}]}',
        "",
        chunk({"role": "assistant", "content": "Sure"}, content_filter_results={}),
        "",
        chunk({}, "content_filter"),
        "",
        "data: [DONE]",
        "",
    ),
    "Sure",
    Finish.CONTENT_FILTER,
    "content_filter",
)
OPENROUTER = Recorded(
    "sse",
    (
        ": OPENROUTER PROCESSING",
        "",
        ": OPENROUTER PROCESSING",
        "",
        chunk({"role": "assistant", "content": "", "reasoning": "The user says", "reasoning_details": []}),
        "",
        chunk({"content": "Hi", "reasoning": None}, provider="X", native_finish_reason=None),
        "",
        'data: {"id":"gen-1","error":{"code":"server_error","message":"Provider disconnected"},"choices":'
        '[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}',
        "",
    ),
    "Hi",
    fault=ErrorCode.UPSTREAM_ERROR,
)
DEEPSEEK = Recorded(
    "sse",
    (
        ": keep-alive",
        "",
        "",
        chunk({"role": "assistant", "content": None, "reasoning_content": "Hmm"}),
        "",
        chunk({"content": "\n\nGut", "reasoning_content": None}),
        "",
        chunk({"content": "en Tag"}, "insufficient_system_resource"),
        "",
        "data: [DONE]",
        "",
    ),
    "Guten Tag",
    reason="insufficient_system_resource",
)
LLAMA_CPP = Recorded(
    "sse",
    (
        ":",
        "",
        chunk({"role": "assistant", "content": None}),
        "",
        chunk({"content": "Wait"}, timings={"predicted_n": 1}),
        "",
        'error: {"code":500,"message":"context shift is disabled","type":"server_error"}',
        "",
        "data: [DONE]",
        "",
    ),
    "Wait",
    fault=ErrorCode.UPSTREAM_ERROR,
)
VLLM = Recorded(
    "sse",
    (
        chunk({"role": "assistant", "content": "", "reasoning_content": None, "reasoning": None}),
        "",
        chunk({"content": "cut of"}, "length", stop_reason=None, token_ids=None),
        "",
        'data: {"id":"chatcmpl-1","choices":[],"usage":{"prompt_tokens":5}}',
        "",
        "data: [DONE]",  # without its blank line
    ),
    "cut of",
    Finish.LENGTH,
    "length",
)
VLLM_ERROR = Recorded(
    "sse",
    (
        chunk({"content": "Once"}),
        "",
        'data: {"error": {"object": "error", "message": "EngineCore died", "type": "InternalServerError", '
        '"param": null, "code": 500}}',
        "",
        "data: [DONE]",
        "",
    ),
    "Once",
    fault=ErrorCode.UPSTREAM_ERROR,
)
MISTRAL = Recorded(
    "sse",
    (
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}]}),
        "",
        chunk({"content": [{"type": "text", "text": "Bon"}]}),
        "",
        chunk({"content": "jour"}, "stop"),
        "",
    ),
    "Bonjour",
    reason="stop",
)
QWEN_IN_LM_STUDIO = Recorded(
    "sse",
    (
        "data:" + chunk({"role": "assistant", "content": "<thi"})[6:],  # without a space
        "",
        chunk({"content": "nk>\nThe user wants </th"}),
        "",
        chunk({"content": "ink>\n\nHow "}),
        "",
        chunk({"content": "are <b"}),
        "",
        chunk({"content": ">you</b> <"}),
        "",
    ),
    "How are <b>you</b> <",
)
TOOL_CALL = Recorded(
    "sse",
    (
        chunk({"role": "assistant", "content": "One moment."}),
        "",
        chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": '{"text":'}}]}),
        "",
        chunk({}, "tool_calls"),
        "",
    ),
    "One moment.",
    reason="tool_calls",
)
RESPONSES = Recorded(
    "sse",
    (
        *event("response.created", response={"id": "resp_1", "status": "in_progress", "error": None}),
        *event("response.output_item.added", item={"type": "reasoning", "content": []}),
        *event("response.reasoning_summary_text.delta", delta="**Thinking**"),
        *event("response.output_item.added", item={"type": "message", "content": []}),
        *event("response.output_text.delta", item_id="msg_1", delta="Good ", obfuscation="x9"),
        *event("response.output_text.delta", item_id="msg_1", delta=f"day{SMILE}"),
        *event("response.output_text.done", item_id="msg_1", text=f"Good day{SMILE}"),
        *event("response.function_call_arguments.delta", delta='{"a"'),
        *event(
            "response.incomplete",
            response={
                "status": "incomplete",
                "error": None,
                "incomplete_details": {"reason": "max_output_tokens"},
            },
        ),
    ),
    f"Good day{SMILE}",
    Finish.LENGTH,
    "max_output_tokens",
)
RESPONSES_REFUSAL = Recorded(
    "sse",
    (
        *event("response.refusal.delta", delta="I can't "),
        *event("response.refusal.delta", delta="do that."),
        *event("response.refusal.done", refusal="I can't do that."),
        *event("response.completed", response={"status": "completed", "error": None}),
    ),
    "I can't do that.",
    Finish.CONTENT_FILTER,
)
RESPONSES_FAILED = Recorded(
    "sse",
    (
        *event("response.output_text.delta", delta="Hm"),
        *event(
            "response.failed", response={"error": {"code": "server_error", "message": "The model failed"}}
        ),
    ),
    "Hm",
    fault=ErrorCode.UPSTREAM_ERROR,
)
RESPONSES_ERROR = Recorded(
    "sse",
    (
        *event("response.output_text.delta", delta="Hm"),
        *event("error", named=False, code="rate_limit_exceeded", message="Slow down", param=None),
    ),
    "Hm",
    fault=ErrorCode.UPSTREAM_ERROR,
)
ANTHROPIC = Recorded(
    "sse",
    (
        *event(
            "message_start", message={"id": "msg_1", "role": "assistant", "content": [], "stop_reason": None}
        ),
        *event(
            "content_block_start",
            index=0,
            content_block={"type": "thinking", "thinking": "", "signature": ""},
        ),
        *event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Let me see"}),
        *event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "EqQB"}),
        *event("content_block_stop", index=0),
        *event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
        *event("ping"),
        *event("content_block_delta", index=1, delta={"type": "text_delta", "text": "Hello"}),
        *event("content_block_delta", index=1, delta={"type": "text_delta", "text": "!"}),
        *event("content_block_stop", index=1),
        *event("content_block_start", index=2, content_block={"type": "tool_use", "name": "f", "input": {}}),
        *event("content_block_delta", index=2, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
        *event("message_delta", delta={"stop_reason": "max_tokens", "stop_sequence": None}, usage={}),
        *event("message_stop"),
    ),
    "Hello!",
    Finish.LENGTH,
    "max_tokens",
)
ANTHROPIC_REFUSAL = Recorded(
    "sse",
    (
        *event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Well"}),
        *event("message_delta", delta={"stop_reason": "refusal"}),
        *event("message_stop"),
    ),
    "Well",
    Finish.CONTENT_FILTER,
    "refusal",
)
ANTHROPIC_ERROR = Recorded(
    "sse",
    (
        *event("message_start", message={"content": []}),
        *event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
        *event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        *event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo"}),
    ),
    "Hel",
    fault=ErrorCode.UPSTREAM_ERROR,
)
AI_SDK_UI = Recorded(
    "sse",
    (
        *event("start", named=False, messageId="msg-1"),
        *event("start-step", named=False),
        *event("reasoning-delta", named=False, id="r1", delta="hmm"),
        *event("text-start", named=False, id="t1"),
        *event("text-delta", named=False, id="t1", delta="Hi "),
        *event("text-delta", named=False, id="t1", delta="there"),
        *event("text-end", named=False, id="t1"),
        *event("tool-input-delta", named=False, toolCallId="c1", inputTextDelta="{"),
        *event("data-weather", named=False, data={"city": "Oslo"}),
        *event("finish-step", named=False),
        *event("finish", named=False, finishReason="content-filter"),
        "data: [DONE]",
        "",
    ),
    "Hi there",
    Finish.CONTENT_FILTER,
    "content_filter",
)
AI_SDK_UI_ERROR = Recorded(
    "sse",
    (
        *event("text-delta", named=False, id="t1", delta="Hi"),
        *event("error", named=False, errorText="The model is gone"),
    ),
    "Hi",
    fault=ErrorCode.UPSTREAM_ERROR,
)
AI_SDK_UI_ABORT = Recorded(
    "sse",
    (
        *event("text-delta", named=False, id="t1", delta="Hi"),
        *event("abort", named=False, reason="user stopped it"),
    ),
    "Hi",
    fault=ErrorCode.UPSTREAM_ERROR,
)
AG_UI = Recorded(
    "sse",
    (
        *event("RUN_STARTED", named=False, threadId="t", runId="r"),
        *event("REASONING_MESSAGE_CONTENT", named=False, messageId="m0", delta="hmm"),
        *event("TEXT_MESSAGE_START", named=False, messageId="m1", role="assistant"),
        *event("TEXT_MESSAGE_CONTENT", named=False, messageId="m1", delta="Ahoy"),
        *event("TEXT_MESSAGE_CHUNK", named=False, messageId="m1", delta="!"),
        *event("TEXT_MESSAGE_END", named=False, messageId="m1"),
        *event("TOOL_CALL_ARGS", named=False, toolCallId="c", delta="{}"),
        *event("STATE_DELTA", named=False, delta=[{"op": "add"}]),
        *event("RUN_FINISHED", named=False, threadId="t", runId="r"),
    ),
    "Ahoy!",
)
AG_UI_ERROR = Recorded(
    "sse",
    (
        *event("TEXT_MESSAGE_CONTENT", named=False, messageId="m1", delta="Ahoy"),
        *event("RUN_ERROR", named=False, message="The agent failed", code="E1"),
    ),
    "Ahoy",
    fault=ErrorCode.UPSTREAM_ERROR,
)
PLAIN_EVENTS = Recorded(
    "sse",
    (
        "retry: 3000",
        "id: 1",
        "data:  First",
        "data",
        "data:third line",
        "",
        f"data: {{{LINE_SEPARATOR}é",
        "",
        'data: {"a": 1}',
        "",
        "data: 42",
        "",
        "data: [DONE]",
        "",
        "data: late",
        "",
    ),
    f'First\n\nthird line{{{LINE_SEPARATOR}é{{"a": 1}}42',
)
NAMED_ERROR = Recorded(
    "sse",
    ("data: Hel", "", "event: error", "data: the model is gone", ""),
    "Hel",
    fault=ErrorCode.UPSTREAM_ERROR,
)
CUT_OFF_EVENT = Recorded(
    "sse",
    (chunk({"content": "Hel"}), "", chunk({"content": "lo"})[:-9]),
    "Hel",
    fault=ErrorCode.VALIDATION_FAILED,
)
OLLAMA = Recorded(
    "ndjson",
    (
        line(message={"role": "assistant", "content": "", "thinking": "Let me see"}, done=False),
        line(message={"role": "assistant", "content": "Salut"}, done=False),
        "",
        line(message={"role": "assistant", "content": f"{LINE_SEPARATOR}{SMILE}"}, done=False),
        line(message={"role": "assistant", "content": ""}, done=True, done_reason="length", eval_count=2),
    ),
    f"Salut{LINE_SEPARATOR}{SMILE}",
    Finish.LENGTH,
    "length",
)
OLLAMA_GENERATE = Recorded(
    "ndjson",
    (line(response="Yes", done=False), line(response="", done=True, done_reason="stop")),
    "Yes",
    reason="stop",
)
OLLAMA_ERROR = Recorded(
    "ndjson",
    (
        line(message={"role": "assistant", "content": "Yes"}, done=False),
        '{"error":"an error was encountered"}',
    ),
    "Yes",
    fault=ErrorCode.UPSTREAM_ERROR,
)
CHUNKS_AS_LINES = Recorded(
    "ndjson",
    (chunk({"content": "a"})[6:], '{"usage":{}}', chunk({"content": "b"}, "stop")[6:]),
    "ab",
    reason="stop",
)
CUT_OFF_LINE = Recorded(
    "ndjson",
    (line(response="Yes", done=False), line(response="No", done=False)[:-3]),
    "Yes",
    fault=ErrorCode.VALIDATION_FAILED,
)
PLAIN_TEXT = Recorded(
    "text",
    (" \t", f"Dear{LINE_SEPARATOR}{SMILE},", "<think>", "no</think>", "data: [DONE]", "yours  "),
    "",
)

RECORDED = {name: value for name, value in globals().items() if isinstance(value, Recorded)}
