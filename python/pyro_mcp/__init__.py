"""A microVM sandbox for code that AI agents write.

`Pyro` has the operations of the public contract; each returns a plain dict with the payload that the
command line and the MCP server show, too. `AsyncPyro` is the same for asyncio.
"""

from ._aio import AsyncPyro, AsyncTask
from ._client import Pyro
from ._errors import PyroError, PyroRuntimeError, PyroValueError
from ._execution import Execution
from ._server import Server, create_server
from ._task import Task
from .pyro_native import __version__

__all__ = [
    "AsyncPyro",
    "AsyncTask",
    "Execution",
    "Pyro",
    "PyroError",
    "PyroRuntimeError",
    "PyroValueError",
    "Server",
    "Task",
    "__version__",
    "create_server",
]
