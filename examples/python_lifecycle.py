"""A VM step by step: create, start, look, run its one command."""

from pyro_mcp import Pyro

pyro = Pyro()
vm_id = pyro.create_vm(environment="debian:12", mem_mib=512)["vm_id"]
try:
    pyro.start_vm(vm_id)
    print("state:", pyro.status_vm(vm_id)["state"])
    print("network:", pyro.network_info_vm(vm_id)["network_enabled"])
    result = pyro.exec_vm(vm_id, command="nproc; free -m | head -2")
    print(result["stdout"], end="")
    print("deleted:", result["cleanup"]["deleted"])
except BaseException:
    pyro.delete_vm(vm_id)
    raise
