"""The run second by second as CSV."""

import csv
import io

from loadtest.result import Point, Result, ServerSample

_SERVER_FIELDS = tuple(ServerSample.model_fields)
_POINT_FIELDS = tuple(name for name in Point.model_fields if name != "server")


def to_csv(result: Result) -> str:
    """One row a second; the columns are the fields of `Point`, the server's with `server_` before them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_POINT_FIELDS, *(f"server_{name}" for name in _SERVER_FIELDS)])
    for point in result.timeline:
        server = point.server or ServerSample()
        writer.writerow(
            [getattr(point, name) for name in _POINT_FIELDS]
            + [getattr(server, name) for name in _SERVER_FIELDS]
        )
    return text.getvalue()
