"""Pages of mailed links, submitted like in a browser without scripts."""

import re
from typing import Any
from urllib.parse import urlencode

from support.clients import Answer

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


class Page:
    """The page of a mailed link, and its forms."""

    def __init__(self, send: Any, answer: Answer, cookies: dict[str, str], url: str = "") -> None:
        self.send, self.answer, self.cookies, self.url = send, answer, cookies, url
        self.forms = re.findall(r'<form method="post" action="([^"]+)">(.*?)</form>', answer.body, re.DOTALL)

    def fields(self, number: int = 0) -> list[str]:
        return re.findall(r'name="(\w+)"', self.forms[number][1])

    async def press(self, number: int = 0, *, headers: dict[str, str] | None = None, **filled: str) -> Answer:
        action, form = self.forms[number]
        values = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form)) | filled
        sent = {**FORM_TYPE, "Sec-Fetch-Site": "same-origin", "Origin": "null", "Cookie": cookie_of(self.cookies)}
        answer: Answer = await self.send(
            "POST", action, urlencode(values), {**sent, **(headers or {})}, url=self.url
        )
        return answer


def cookie_of(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
