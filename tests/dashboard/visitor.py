"""A browser without scripts: keeps cookies, reads forms, sends them, follows where they lead."""

from __future__ import annotations

from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin

import msgspec

from tests.web.site import Answer, Site

HOST = "http://localhost"


class Form(msgspec.Struct):
    action: str
    method: str
    fields: dict[str, str]
    buttons: list[str]


class Page(HTMLParser):
    """What a test asks of a page: its forms, addresses, text, and the names of all attributes."""

    def __init__(self, answer: Answer, place: str = "/dashboard") -> None:
        """`place`: the path that it was asked for."""
        super().__init__()
        self.answer = answer
        self.place = place
        self.forms: list[Form] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.tags: list[str] = []
        self.titles: list[str] = []
        self.links: dict[str, str] = {}
        self.ids: set[str] = set()
        self.labelled: set[str] = set()
        self.unlabelled: list[str] = []
        self.words: list[str] = []
        self._link: str | None = None
        self._button = self._inside = False
        self._area: str | None = None
        self._select: str | None = None
        self.feed(answer.body.decode())

    @property
    def status(self) -> int:
        return self.answer.status

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes |= set(found)
        self.addresses += [found[name] for name in ("href", "src", "action") if name in found]
        if "id" in found:
            assert found["id"] not in self.ids, f"two parts have the id {found['id']}"
            self.ids.add(found["id"])
        self._link = found.get("href") if tag == "a" else self._link
        match tag:
            case "form":
                self._inside = True
                self.forms.append(Form(found.get("action", ""), found.get("method", "get"), {}, []))
            case "label":
                self.labelled.add(found.get("for", ""))
            case "button":
                self._button = True
            case "input" | "textarea" | "select" if found.get("type") != "hidden":
                if "aria-label" not in found:
                    self.unlabelled.append(found.get("id", found.get("name", tag)))
        if tag in ("input", "textarea", "select") and self._inside and "name" in found:
            self.forms[-1].fields[found["name"]] = found.get("value", "")
        self._area = found.get("name") if tag == "textarea" else self._area
        self._select = found.get("name") if tag == "select" else self._select
        if tag == "option" and "selected" in found and self._select is not None:
            self.forms[-1].fields[self._select] = found.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "a":
            self._link = None
        elif tag == "form":
            self._inside = False
        elif tag == "button":
            self._button = False
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None

    def handle_data(self, data: str) -> None:
        if self._area is not None and self.forms:
            self.forms[-1].fields[self._area] += data
        if self._link is not None and data.strip():
            self.links[data.strip()] = self._link
        if self._button and self._inside and data.strip():
            self.forms[-1].buttons.append(data.strip())
        self.words.append(data)

    def form(self, button: str, action: str = "") -> Form:
        """The form with this button, whose action has `action` in it."""
        found = [form for form in self.forms if button in form.buttons and action in form.action]
        assert found, f"no form {button!r}; there are {[form.buttons for form in self.forms]}"
        return found[0]


class Visitor:
    def __init__(self, site: Site, prefix: str = "", root: str = "", headers: dict[str, str] | None = None) -> None:
        self.site = Site(site.app, site.settings)
        self.site._client = site.app.test_client(use_cookies=False)  # the cookies are this visitor's own
        self.prefix = prefix
        self.root = root
        self.headers = headers or {}
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.place = f"{prefix}/dashboard"

    async def open(self, path: str = "", method: str = "GET") -> Page:
        """A page of the dashboard by what comes after `/dashboard`; redirects are followed."""
        answer = await self.ask(method, f"{self.prefix}/dashboard{path}")
        return Page(answer, self.place)

    async def follow(self, page: Page, link: str) -> Page:
        """The page that a link of this page leads to."""
        answer = await self.ask("GET", self.path(page.place, page.links[link]))
        return Page(answer, self.place)

    def path(self, place: str, address: str) -> str:
        """What a relative address on the page at `place` leads to."""
        whole = urljoin(f"{HOST}{self.root}{place}", address)
        assert whole.startswith(HOST + self.root + "/"), whole
        return whole.removeprefix(HOST + self.root)

    async def ask(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        for _ in range(5):
            answer = await self.once(method, path, form)
            if answer.status != 303:
                return answer
            path = self.path(self.place, answer.headers["Location"])
            method, form = "GET", None
        raise AssertionError("it goes in circles")

    async def once(self, method: str, path: str, form: dict[str, str] | None = None) -> Answer:
        """One request, without following where it leads."""
        self.place = path
        path = self.root + path  # as ASGI wants it
        headers = {"Host": "localhost", **self.headers}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        scope = {"root_path": self.root} if self.root else {}
        if form is None:
            answer = await self.site.request(method, path, headers=headers, scope=scope)
        else:
            headers["Origin"] = HOST
            body = urlencode(form).encode()
            media = "application/x-www-form-urlencoded"
            answer = await self.site.request(method, path, body, headers, media, scope)
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for text in answer.headers.getlist("Set-Cookie"):
            self.set_cookies.append(text)
            for name, one in SimpleCookie(text).items():
                if one["max-age"] == "0" or not one.value:
                    self.cookies.pop(name, None)
                else:
                    self.cookies[name] = one.value

    async def press(self, page: Page, button: str, action: str = "", **fields: str) -> Page:
        """Send the form of this button, with other values in some of its fields."""
        form = page.form(button, action)
        unknown = fields.keys() - form.fields.keys()
        assert not unknown, f"the form has no {unknown}; it has {list(form.fields)}"
        path = self.path(page.place, form.action)
        answer = await self.ask(form.method.upper(), path, {**form.fields, **fields})
        return Page(answer, self.place)

    async def sign_in(self, key: str) -> Page:
        return await self.press(await self.open("/sign-in"), "Sign in", key=key)

    def elsewhere(self, site: Site) -> Visitor:
        """The same browser at another life of the site."""
        other = Visitor(site, self.prefix, self.root, self.headers)
        other.cookies = self.cookies
        return other
