"""The OpenAI Responses API with `vm_run` as a function tool (package `openai`)."""

import json
import os

from openai import OpenAI

from pyro_mcp import Pyro, PyroError

TOOL = {
    "type": "function",
    "name": "vm_run",
    "description": "Run one shell command in a fresh, isolated Debian VM; files do not persist.",
    "parameters": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
        "additionalProperties": False,
    },
    "strict": True,
}


def vm_run(pyro: Pyro, command: str) -> str:
    try:
        result = pyro.run_in_vm(environment="debian:12", command=command)
    except PyroError as error:
        return json.dumps({"error": str(error), "code": error.code, "hint": error.hint})
    return json.dumps({key: result[key] for key in ("stdout", "stderr", "exit_code")})


def main() -> None:
    client, pyro = OpenAI(), Pyro()
    model = os.environ.get("MODEL", "gpt-5-mini")
    items: list = [{"role": "user", "content": "Which version of git does Debian 12 have?"}]
    for _ in range(8):
        response = client.responses.create(model=model, input=items, tools=[TOOL])
        items += response.output
        calls = [item for item in response.output if item.type == "function_call"]
        if not calls:
            print(response.output_text)
            return
        for call in calls:
            output = vm_run(pyro, json.loads(call.arguments)["command"])
            items.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


main()
