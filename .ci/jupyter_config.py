"""JupyterLab as `make lab` starts it: a notebook that nobody has touched is not marked as changed.

When its kernel is up, JupyterLab writes the kernel's full name and Python's version into a notebook, and marks it as unsaved if something else
stood there. The notebooks of the book do not say them: each Python would say something else. So both are put in on the way to the page, and
left out on the way to the disk.

A kernel's threads do not wait in a busy loop (chapter 54 says why): PyTorch has to be told before it is loaded, and many a cell loads it first.
"""
import os

from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelspec import get_kernel_dict
from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

KERNEL = {"name": "python3", "display_name": get_kernel_dict()["display_name"], "language": "python"}
ON_PAGE = {"kernelspec": KERNEL, "language_info": dict(IPythonKernel.language_info)}
ON_DISK = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}


def ours(model):
    "Whether this is a notebook for the kernel python3, with its content."
    content = model.get("content") if model.get("type") == "notebook" else None
    return bool(content) and content["metadata"].get("kernelspec", {}).get("name") == "python3"


class Contents(AsyncLargeFileManager):
    "Files as the server has them; notebooks with the kernel's full name on the page, and without it on the disk."

    async def get(self, path, *args, **kwargs):
        model = await super().get(path, *args, **kwargs)
        if ours(model):
            model["content"]["metadata"].update(ON_PAGE)
        return model

    async def save(self, model, path=""):
        if ours(model):
            metadata = {key: value for key, value in model["content"]["metadata"].items() if key not in ON_PAGE}
            model = {**model, "content": {**model["content"], "metadata": {**metadata, **ON_DISK}}}
        return await super().save(model, path)


os.environ.setdefault("GOMP_SPINCOUNT", "1000")
c.ServerApp.contents_manager_class = Contents  # noqa: F821  (Jupyter puts `c` there)
