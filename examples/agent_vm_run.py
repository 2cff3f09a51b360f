"""An agent's loop without a framework: a model with one tool, over an OpenAI-style chat API.

`OPENAI_BASE_URL` and `MODEL` say where and which; a local `ollama serve` does for a start.
"""

import json
import os
import urllib.request

from pyro_mcp import Pyro, PyroError

BASE_URL = os.environ.get("OPENAI_BASE_URL", "http://localhost:11434/v1")
MODEL = os.environ.get("MODEL", "llama3.2:3b")
TOOL = {
    "type": "function",
    "function": {
        "name": "vm_run",
        "description": "Run one shell command in a fresh, isolated Debian VM; files do not persist.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}


def vm_run(pyro: Pyro, command: str) -> str:
    try:
        result = pyro.run_in_vm(environment="debian:12", command=command)
    except PyroError as error:  # the model can often mend what it did
        return json.dumps({"error": str(error), "code": error.code, "hint": error.hint})
    return json.dumps({key: result[key] for key in ("stdout", "stderr", "exit_code")})


def ask(messages: list[dict]) -> dict:
    body = json.dumps({"model": MODEL, "messages": messages, "tools": [TOOL]}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', '-')}"}
    request = urllib.request.Request(f"{BASE_URL}/chat/completions", body, headers)
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]


def main() -> None:
    pyro = Pyro()
    messages: list[dict] = [{"role": "user", "content": "Which version of git does Debian 12 have?"}]
    for _ in range(8):
        message = ask(messages)
        messages.append(message)
        if not message.get("tool_calls"):
            print(message["content"])
            return
        for call in message["tool_calls"]:
            command = json.loads(call["function"]["arguments"])["command"]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": vm_run(pyro, command)})


main()
