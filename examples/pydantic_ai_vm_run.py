"""`vm_run` as a PydanticAI tool (package `pydantic-ai-slim[openai]`)."""

import os

from pydantic_ai import Agent, ModelRetry
from pydantic_ai.models.openai import OpenAIChatModel

from pyro_mcp import Pyro, PyroError

pyro = Pyro()
agent = Agent(OpenAIChatModel(os.environ.get("MODEL", "gpt-5-mini")))


@agent.tool_plain
def vm_run(command: str) -> dict:
    """Run one shell command in a fresh, isolated Debian VM; files do not persist."""
    try:
        result = pyro.run_in_vm(environment="debian:12", command=command)
    except PyroError as error:
        raise ModelRetry(f"{error} ({error.code}): {error.hint}") from error
    return {key: result[key] for key in ("stdout", "stderr", "exit_code")}


print(agent.run_sync("Which version of git does Debian 12 have?").output)
