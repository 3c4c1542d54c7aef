"""ImJoy plugin files, `.imjoy.html`: their blocks, and what they say of the plugin."""

import html
import json
import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from hypha_cluster.errors import BadRequest, TooLarge
from hypha_cluster.protocol.guard import shown
from hypha_cluster.protocol.limits import APP_FILE, APP_RECORD, SHOWN_TEXT

BLOCKS: Final = ("config", "script", "link", "window", "style", "docs", "attachment")
# What may say one thing for each tag.
CONFIGURABLE: Final = (
    *("env", "requirements", "dependencies", "icon", "ui", "type", "flags", "labels", "cover"),
    *("base_frame", "base_worker", "passive"),
)
# A tag has an end nearby, or is none: else each would be read to the end of the source.
_OPENING: Final = re.compile(rf"<!--|<({'|'.join(BLOCKS)})\b([^<>]{{0,1000}})>", re.IGNORECASE)
# Comments may come first, each of them short, so that none is looked for without an end.
_PAGE: Final = re.compile(
    r"\ufeff?\s*(?:<!--.{0,1000}?-->\s*){0,10}<(?:!doctype\s+html|html)\b",
    re.IGNORECASE | re.DOTALL,
)
_TITLE: Final = re.compile(r"<title\b[^<>]{0,1000}>([^<]{0,1000})</title", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"""([\w:-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_RAW: Final = frozenset(("script", "style", "window"))  # others have &amp; for &


class Block(NamedTuple):
    """An element of a plugin file."""

    name: str
    attributes: Mapping[str, str]
    content: str


def parse_plugin(source: str, tag: str | None = None) -> dict[str, Any]:
    """What a plugin file says of its plugin, with the code of one of its tags.

    tag: by default its first. BadRequest says what is wrong with the file.
    """
    blocks = list(_blocks(source))
    config = _read_config(next((block for block in blocks if block.name == "config"), None))
    tags = _tags(config)
    tag = tag or (tags[0] if tags else None)
    scripts = [block for block in blocks if block.name == "script"]
    script = _script_for(scripts, tag)
    name = config["name"].replace(" ", "_")
    config |= {
        "tag": tag,
        "lang": script.attributes.get("lang") or "javascript",
        "script": script.content,
        "scripts": [
            _described(each) for each in scripts if each.attributes.get("tag") in (tag, None)
        ],
        "id": f"{name}_{uuid.uuid4()}",
        "_id": name,
        "runnable": config.get("runnable", True),
        "requirements": config.get("requirements") or [],
        **{key: [_described(b) for b in blocks if b.name == key] for key in BLOCKS[2:]},
    }
    docs = next((block.content for block in blocks if block.name == "docs"), None)
    config["docs"] = docs if docs is not None else config.get("docs") or None
    return {
        **config,
        **{key: _of_tag(config[key], tag, tags) for key in CONFIGURABLE if key in config},
    }


def _blocks(source: str) -> Iterator[Block]:
    lowered, at, unclosed = source.lower(), 0, set[str]()
    while opening := _OPENING.search(source, at):
        name, at = (opening[1] or "").lower(), opening.end()
        closing = f"</{name}" if name else "-->"
        end = -1 if closing in unclosed else lowered.find(closing, at)
        if end < 0:
            unclosed.add(closing)  # a later opening tag has no end either
            continue
        if name:
            content = source[at:end]
            content = content if name in _RAW else html.unescape(content)
            yield Block(name, dict(_attributes(opening[2])), content)
        at = end + len(closing)


def _attributes(text: str) -> Iterator[tuple[str, str]]:
    for found in _ATTRIBUTE.finditer(text):
        value = found[2] or found[3] or found[4] or ""
        yield found[1].lower(), html.unescape(value)


def _described(block: Block) -> dict[str, Any]:
    return {"attrs": dict(block.attributes), "content": block.content}


def _read_config(block: Block | None) -> dict[str, Any]:
    if block is None:
        raise _broken("it has no <config> block")
    if len(block.content) > APP_RECORD:
        raise TooLarge(f"The <config> of a plugin file has at most {APP_RECORD} characters.")
    lang = block.attributes.get("lang")
    if lang not in ("json", "yaml"):
        raise _broken('its <config> has lang="json" or lang="yaml"')
    try:
        config = json.loads(block.content) if lang == "json" else _read_yaml(block.content)
    except (ValueError, RecursionError) as error:
        raise _broken(f"its <config> is no {lang}: {str(error)[:200]}") from None
    if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
        raise _broken("its <config> is an object, with names of fields")
    if not isinstance(config.get("name"), str) or not config["name"].strip():
        raise _broken("its <config> has a name")
    return config


def _read_yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Knows no aliases, by which a few lines spell millions of values."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise ValueError("it has aliases, which are not read")
            return super().compose_node(parent, index)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _tags(config: dict[str, Any]) -> list[str]:
    tags = config.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise _broken("its tags are a list of texts")
    return tags


def _script_for(scripts: list[Block], tag: str | None) -> Block:
    if not scripts:
        return Block("script", {}, "")
    for script in reversed(scripts):
        if script.attributes.get("tag") == tag:
            return script
    return scripts[0]


def _of_tag(value: Any, tag: str | None, tags: list[str]) -> Any:
    if not isinstance(value, dict) or not value:  # ImJoy's own templates have "env": {}
        return value
    if not tags:
        raise _broken("You must use 'tags' with configurable fields.")
    return value.get(tag)


def _broken(reason: str) -> BadRequest:
    return BadRequest(f"Failed to parse or compile the imjoy plugin, error: {reason}")


def is_page(source: str) -> bool:
    """Whether a source is a whole page, which is served as it is; no plugin file."""
    if not _PAGE.match(source):
        return False
    return not any(block.name == "config" for block in _blocks(source))


def title_of(page: str) -> str:
    """What a page calls itself."""
    found = _TITLE.search(page)
    title = " ".join(html.unescape(found[1]).split()) if found else ""
    return title[:SHOWN_TEXT] or "Untitled Page"


def check_source(source: object) -> str:
    """Check that a source is a text that is small enough to be read; BadRequest, TooLarge."""
    if not isinstance(source, str):
        raise BadRequest(f"'source' of an app is text, not {shown(source)}.")
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise BadRequest("'source' of an app has characters that UTF-8 does not have.") from None
    if size > APP_FILE:
        raise TooLarge(f"The source of an app has at most {APP_FILE} bytes, not {size}.")
    return source
