"""The model's side of a conversation: asks for one tool call, and then says what came of it."""

import contextlib
import http.server
import json
import threading


class Model(http.server.BaseHTTPRequestHandler):
    """Speaks the chat and the responses API."""

    asked = "git --version"
    tool = "vm_run"
    arguments: dict | None = None
    seen: list[str]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        arguments = json.dumps(self.arguments or {"command": self.asked})
        if self.path.endswith("/responses"):
            answer = self.answer_responses(request, arguments)
        else:
            answer = self.answer_chat(request, arguments)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_chat(self, request: dict, arguments: str) -> dict:
        results = [message["content"] for message in request["messages"] if message["role"] == "tool"]
        self.seen.extend(map(str, results))
        if results:
            message = {"role": "assistant", "content": f"It said: {results[-1]}"}
        else:
            call = {"id": "call_1", "type": "function", "function": {"name": self.tool, "arguments": arguments}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        reason = "stop" if results else "tool_calls"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}

    def answer_responses(self, request: dict, arguments: str) -> dict:
        results = [item["output"] for item in request["input"] if item.get("type") == "function_call_output"]
        self.seen.extend(map(str, results))
        if results:
            text = {"type": "output_text", "text": f"It said: {results[-1]}", "annotations": []}
            item = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
        else:
            item = {"id": "f1", "type": "function_call", "call_id": "call_1", "name": self.tool, "arguments": arguments}
        return {
            "id": "r1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "output": [item],
            "parallel_tool_calls": False, "tool_choice": "auto", "tools": [],
        }  # fmt: skip

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(**changes: object):
    """A model on a port of its own; gives its address and what tools have returned to it."""
    seen: list[str] = []
    handler = type("Handler", (Model,), {"seen": seen, **changes})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1", seen
        server.shutdown()
