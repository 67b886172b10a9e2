"""The files of the page: what lies in the folder ``static``, and nothing else."""

from __future__ import annotations

import mimetypes

from fastapi import APIRouter, HTTPException, Request, Response

from denodo_scheduler.web import STATIC
from denodo_scheduler.web.answers import tag_of, tagged, unchanged

router = APIRouter()


@router.get("/page/{file}")
def page(file: str, request: Request) -> Response:
    found = next(
        (each for each in STATIC.iterdir() if each.name == file and each.is_file() and not file.startswith(".")), None
    )
    if found is None:
        raise HTTPException(404, "there is nothing here")
    body = found.read_bytes()
    tag = tag_of(body)
    kind = mimetypes.guess_type(found.name)[0] or "application/octet-stream"
    return unchanged(request, tag) or tagged(body, tag, kind)
