"""Plain HTTP, for what a vendor's SDK does not send."""

import http.client
import json
from urllib.parse import urlsplit


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.text[:300]}"


def send(method, url, body=None, headers=None, raw=None):
    """`body` is sent as JSON, `raw` as it is."""
    parts = urlsplit(url)
    headers = dict(headers or {})
    if body is not None:
        raw = json.dumps(body)
        headers.setdefault("content-type", "application/json")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, raw, headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response.read())
    finally:
        connection.close()
